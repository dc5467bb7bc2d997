# SPDX-License-Identifier: MIT
"""libFuzzer targets of the allocator and of its options, and what drives them."""
