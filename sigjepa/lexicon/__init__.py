"""The lexicon: words and names of signatures and bodies, with what the syntax tree says of them."""
