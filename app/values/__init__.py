"""Values that are typed and shown: names, times, sizes, addresses. Pure."""
