"""Each check taken out, and the test that notices."""
