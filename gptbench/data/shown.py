"""The sentences that the report follows through the model where a scale names none of its own."""

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
