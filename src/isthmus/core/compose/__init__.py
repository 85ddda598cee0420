"""From a kind to its Stacks: spec in, stacks out; pure."""
