"""Where operators are computed: the definitions in numpy."""
