"""libFuzzer targets of the allocator and of its options, and what drives them."""
