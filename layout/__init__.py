"""Profile to layout: callgrind counts, symbol order, BOLT, the checks on what came out, the heatmap."""
