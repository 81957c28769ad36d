"""Graphs: the one kind of model, its inference, its interpreter, its passes."""
