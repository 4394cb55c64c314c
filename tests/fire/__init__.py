"""What goes on for longer than a test: chaos, a siege, fuzzing, kills, power cuts, mutants."""
