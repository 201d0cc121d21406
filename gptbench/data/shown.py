"""Texts that the report shows where a scale names none, or may not show those of its data."""

from __future__ import annotations

WORLD = (
    "The captain saw Leo with a flag in the bay. He was calm.",
    "Hugo saw Lucy because she was jealous.",
    "Julia was in the kitchen with the cook. She peeled an onion.",
)
"""Of the embedded world's words: two that go on, and a pronoun with two names before it."""
ENGLISH = (
    "The nurse thanked the cook because he had made the soup.",
    "She opened the old book and began to read the first page.",
    "The cat sat on the mat, and the dog sat on the rug.",
)
"""Plain English: a pronoun, a common story, and a part that repeats itself."""
ROWS = {
    "single": ("The cook had made the soup.",),
    "pair": ("The nurse read a book in the garden.", "The nurse was outside."),
    "similarity": ("How do I learn to cook?", "What is the best way to learn cooking?"),
    "choice": ("The dog ran into the rain.", "", "It came back wet.", "It read a book."),
}
"""A made-up row of each input format, in the order of `Example.texts`."""
