"""Word-internal byte-pair encoding, as released with the paper (paper.md, "Tokenizer").

A word is a sequence of symbols, one a character, `</w>` attached to the last. Merges are
applied in the order in which they were learnt and never cross words. A vocabulary is
`encoder.json` (symbol -> id, `<unk>` is 0) and `merges.txt` (a version line, then one merge a
line), the form of the released files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from gptbench.artifacts import MANIFEST, Run, digest, file_digest, write_text
from gptbench.data import text as texts
from gptbench.data.books import Book, book_files, collect, count_chunks, digest_of, training_books
from gptbench.errors import UserError
from gptbench.settings import TokenizerJob, TokenizerSettings

END = "</w>"
NEWLINE = "\n" + END
UNKNOWN = "<unk>"
ENCODER = "encoder.json"
MERGES = "merges.txt"
SPECIAL = ("<start>", "<delimiter>", "<classify>")
CACHE_ENTRIES = 1_000_000
LONGEST_KEPT = 1000  # characters
LONG_WORD = 250  # characters from which the other way is quicker
_ASK_LINE = -1  # in the caches: the piece can only be encoded with its line
_PRIVATE = 0xF0000  # the first code point of a private-use plane with room for any alphabet

Merge = tuple[str, str]


class Tokenizer:
    """Encode text to ids and back.

    Parameters
    ----------
    encoder : dict from symbol to id; ids run from 0 without gaps, `<unk>` is 0 and the line
        break symbol is present.
    merges : pairs of symbols in the order in which they are applied.

    The three special tokens of fine-tuning come after the vocabulary: `start`, `delimiter`,
    `classify` = `vocab_size` + 0, 1, 2.
    """

    def __init__(self, encoder: dict[str, int], merges: Sequence[Merge]) -> None:
        _check(encoder, merges)
        self.encoder = encoder
        self.merges = list(merges)
        self.vocab_size = len(encoder)
        self.newline = encoder[NEWLINE]
        self.start, self.delimiter, self.classify = (self.vocab_size + i for i in range(3))
        self._ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        self._chunks = _Cache(self._encode_chunk)
        self._pieces = _Cache(self._encode_piece)
        self._words = _Cache(self._encode_word)

    @cached_property
    def id(self) -> str:
        """Hash of the vocabulary and the merges: equal ids, equal encodings."""
        return digest(_encoder_json(self.encoder), _merges_text(self.merges))

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read a folder written by `save`; raises `UserError` where it is missing or broken."""
        return read_files(folder / ENCODER, folder / MERGES)

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `merges.txt`, each whole or not at all."""
        write_text(folder / MERGES, _merges_text(self.merges))
        write_text(folder / ENCODER, _encoder_json(self.encoder) + "\n")

    def encode(self, text: str) -> list[int]:
        """The ids of raw text; symbols outside the vocabulary become 0."""
        ids: list[int] = []
        for line in texts.lines(text):
            if ids:
                ids.append(self.newline)
            found = list(chain.from_iterable(map(self._chunks.__getitem__, line)))
            ids.extend(self._encode_line(line) if _ASK_LINE in found else found)
        return ids

    # Text repeats itself: what is found out about a chunk, its pieces and its words is kept,
    # up to a bound on all three together.

    def _encode_line(self, line: list[str]) -> list[int]:
        return [i for word in texts.line_words(line) for i in self._words[word]]

    def _encode_chunk(self, chunk: str) -> tuple[int, ...]:
        kept = len(self._pieces) + len(self._words)
        if kept >= CACHE_ENTRIES // 2:
            self.forget()
        elif len(self._chunks) + kept >= CACHE_ENTRIES:
            self._chunks.clear()  # their pieces make them again quickly
        return tuple(i for piece in texts.pieces(chunk) for i in self._pieces[piece])

    def _encode_piece(self, piece: str) -> tuple[int, ...]:
        words, depends = texts.piece_words(piece)
        return (_ASK_LINE,) if depends else tuple(i for w in words for i in self._words[w])

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return tuple(self.encoder.get(symbol, 0) for symbol in self.symbols(word))

    def forget(self) -> None:
        """Empty the caches: memory stays bounded whatever is encoded."""
        for cached in (self._chunks, self._pieces, self._words):
            cached.clear()
        texts.forget()

    def symbols(self, word: str) -> list[str]:
        """The symbols of one lower-case word after all merges that apply.

        Of the pairs present the one learnt first is merged, everywhere in the word, until
        none is left. Pairs made by a merge wait until it is done everywhere, whatever their rank.
        """
        if len(word) > LONG_WORD:
            return self._symbols_of_long(word)
        symbols = characters(word)
        none = len(self.merges)
        ranks = [self._ranks.get(pair, none) for pair in pairwise(symbols)]
        while ranks and (best := min(ranks)) < none:
            new = "".join(self.merges[best])
            while best in ranks:  # what is merged has another rank: so from left to right
                i = ranks.index(best)
                symbols[i : i + 2] = [new]
                del ranks[i]
                if i > 0:
                    ranks[i - 1] = self._ranks.get((symbols[i - 1], new), none)
                if i < len(ranks):
                    ranks[i] = self._ranks.get((new, symbols[i + 1]), none)
        return symbols

    def _symbols_of_long(self, word: str) -> list[str]:
        """The same in O(n log n) steps for n characters: a merge visits its pair's places alone."""
        symbols = characters(word)
        after = list(range(1, len(symbols) + 1))
        before = list(range(-1, len(symbols)))
        places: dict[int, list[int]] = {}  # by rank: where that pair begins, or began
        for i, pair in enumerate(pairwise(symbols)):
            if (rank := self._ranks.get(pair)) is not None:
                places.setdefault(rank, []).append(i)
        waiting = list(places)
        heapify(waiting)
        while waiting:
            rank = heappop(waiting)
            left, right = self.merges[rank]
            merged = []
            for i in sorted(places.pop(rank)):
                j = after[i]
                if symbols[i] == left and j < len(symbols) and symbols[j] == right:
                    symbols[i], symbols[j] = left + right, ""  # no symbol is empty
                    after[i] = after[j]
                    before[after[j]] = i
                    merged.append(i)
            for i in {k for j in merged for k in (before[j], j)}:
                if i >= 0 and after[i] < len(symbols):
                    rank_made = self._ranks.get((symbols[i], symbols[after[i]]))
                    if rank_made is not None:
                        if rank_made not in places:
                            places[rank_made] = []
                            heappush(waiting, rank_made)
                        places[rank_made].append(i)
        return [symbol for symbol in symbols if symbol]

    @cached_property
    def names(self) -> list[str]:
        """The symbol of every id, the three special tokens included."""
        return [*sorted(self.encoder, key=self.encoder.__getitem__), *SPECIAL]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids: words with one space between them, lines without spaces at their ends.

        Raises `UserError` for an id that does not exist.
        """
        out: list[str] = []
        for i in ids:
            if not 0 <= i < len(self.names):
                raise UserError(f"id {i}: ids run from 0 to {len(self.names) - 1}")
            name = self.names[i]
            out.append(name.replace(END, " ") if i < self.vocab_size else name + " ")
        lines = "".join(out).split("\n")
        return "\n".join(line.strip(" ") for line in lines)


class _Cache(dict[str, tuple[int, ...]]):
    """A dictionary that fills itself by `function`; what is found of very long keys isn't kept."""

    def __init__(self, function: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: str) -> tuple[int, ...]:
        found = self._function(key)
        if len(key) <= LONGEST_KEPT:
            self[key] = found
        return found


def characters(word: str) -> list[str]:
    """The symbols before any merge: characters, `</w>` attached to the last."""
    return [*word[:-1], word[-1] + END] if word else []


# Files. --------------------------------------------------------------------------------------


def _encoder_json(encoder: dict[str, int]) -> str:
    ordered = dict(sorted(encoder.items(), key=lambda item: item[1]))
    return json.dumps(ordered, ensure_ascii=False, indent=0)


def _merges_text(merges: Iterable[Merge]) -> str:
    return "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges)


def _check(encoder: dict[str, int], merges: Sequence[Merge]) -> None:
    """Raises `UserError` unless ids and merges form a whole vocabulary."""
    if sorted(encoder.values()) != list(range(len(encoder))):
        raise UserError("vocabulary: ids must run from 0 without gaps, each used once")
    if encoder.get(UNKNOWN) != 0:
        raise UserError(f"vocabulary: the symbol {UNKNOWN} with id 0 is needed")
    if NEWLINE not in encoder:
        raise UserError(r"vocabulary: the symbol \n</w> for a line break is needed")
    for rank, (left, right) in enumerate(merges, 2):
        if left + right not in encoder:
            raise UserError(f"merges, line {rank}: `{left + right}` is not in the vocabulary")


def read_files(vocab: Path, merges: Path) -> Tokenizer:
    """A tokenizer from a vocabulary and a merges file, such as the released ones.

    Raises `UserError` naming the file and line at fault.
    """
    try:
        encoder = json.loads(vocab.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{vocab}: {error.strerror}") from None
    except (ValueError, RecursionError):
        encoder = None
    if not isinstance(encoder, dict) or not all(type(i) is int for i in encoder.values()):
        raise UserError(f"{vocab}: expected one JSON object from symbol to id")
    pairs = _read_merges(merges)
    try:
        return Tokenizer(encoder, pairs)
    except UserError as error:
        raise UserError(f"{vocab}, {merges.name}: {error}") from None


def _read_merges(path: Path) -> list[Merge]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; expected one merge a line") from None
    merges: list[Merge] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split()
        if len(parts) != 2:
            raise UserError(
                f"{path}, line {number}: {len(parts)} symbols, 2 expected with a blank between"
            )
        merges.append((parts[0], parts[1]))
    return merges


# JSON lines. ---------------------------------------------------------------------------------


def encode_lines(tokenizer: Tokenizer, lines: Iterable[bytes]) -> Iterator[str]:
    """For each line `{"text": ...}` a line `{"ids": [...]}`; other keys are passed over.

    Raises `UserError` with the number of the first line that is something else.
    """
    for number, line in enumerate(lines, 1):
        text = _value(line, number, "text")
        if not isinstance(text, str):
            raise _bad_line(number, "`text` is not a string", "text")
        yield json.dumps({"ids": tokenizer.encode(text)})


def decode_lines(tokenizer: Tokenizer, lines: Iterable[bytes]) -> Iterator[str]:
    """For each line `{"ids": [...]}` a line `{"text": ...}`; other keys are passed over.

    Raises `UserError` with the number of the first line that is something else.
    """
    for number, line in enumerate(lines, 1):
        ids = _value(line, number, "ids")
        if not isinstance(ids, list) or not all(type(i) is int for i in ids):
            raise _bad_line(number, "`ids` is not a list of whole numbers", "ids")
        try:
            yield json.dumps({"text": tokenizer.decode(ids)})
        except UserError as error:
            raise UserError(f"standard input, line {number}: {error}") from None


_FORMS = {"text": '{"text": "some text"}', "ids": '{"ids": [1, 2, 3]}'}


def _value(line: bytes, number: int, key: str) -> object:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _bad_line(number, f"not UTF-8 (byte 0x{line[error.start]:02x})", key) from None
    except (ValueError, RecursionError):
        raise _bad_line(number, "not JSON" if line.strip() else "empty", key) from None
    if not isinstance(found, dict) or key not in found:
        raise _bad_line(number, f"no object with the key `{key}`", key)
    return found[key]


def _bad_line(number: int, what: str, key: str) -> UserError:
    return UserError(
        f"standard input, line {number}: {what}; write each line in the form {_FORMS[key]}"
    )


# Training. -----------------------------------------------------------------------------------


def count_words(
    books: Iterable[Path | Book],
    workers: int = 1,
    strip_licence: bool = False,
    total: int | None = None,
) -> Counter[str]:
    """How often each lower-case word (not line breaks) occurs in the books (`total` of them)."""
    counted: Counter[str] = Counter()
    known: dict[str, list[str]] = {}
    for chunk, n in count_chunks(books, workers, strip_licence, total).items():
        for piece in texts.pieces(chunk):
            if piece not in known:
                known[piece] = texts.piece_words(piece)[0]
            for word in known[piece]:
                counted[word] += n
    return counted


def train(
    books: Iterable[Path | Book],
    settings: TokenizerSettings,
    workers: int = 2,
    strip_licence: bool = False,
    total: int | None = None,
) -> Tokenizer:
    """Learn merges from the words of `books` (section 4.1); the same books give the same bytes.

    Fewer than `settings.merges` are learnt where no pair occurs `min_frequency` times any more.
    """
    return train_on_counts(count_words(books, workers, strip_licence, total), settings)


def train_on_counts(counts: Counter[str], settings: TokenizerSettings) -> Tokenizer:
    """Learn merges from word counts: the most frequent pair first.

    Equally frequent pairs go in the order of their symbols (base symbols sorted, then merges
    as learnt). The vocabulary is `<unk>`, the sorted base symbols, one symbol a merge, and the
    line break last.
    """
    alphabet = sorted({symbol for word in counts for symbol in characters(word)})
    merges = _learn_merges(counts, alphabet, settings)
    encoder = {UNKNOWN: 0}
    for symbol in [*alphabet, *(left + right for left, right in merges), NEWLINE]:
        encoder.setdefault(symbol, len(encoder))
    return Tokenizer(encoder, merges)


def _learn_merges(
    counts: Counter[str], alphabet: list[str], settings: TokenizerSettings
) -> list[Merge]:
    """Merges found by the `tokenizers` library, each base symbol one private-use character.

    The library numbers word-final symbols differently from run to run, so it is not told
    about word ends: the characters handed over are stable and sorted.
    """
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers, trainers

    if not alphabet:
        return []
    code = {symbol: chr(_PRIVATE + i) for i, symbol in enumerate(alphabet)}
    back = {c: symbol for symbol, c in code.items()}
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + settings.merges,
        min_frequency=settings.min_frequency,
        show_progress=False,
        initial_alphabet=list(back),
    )
    library.train_from_iterator(_repeated(counts, code), trainer)
    pairs = json.loads(library.to_str())["model"]["merges"]
    named = [["".join(back[c] for c in part) for part in pair] for pair in pairs]
    return [(left, right) for left, right in named[: settings.merges]]


def _repeated(counts: Counter[str], code: dict[str, str], limit: int = 2000) -> Iterable[str]:
    """Each word as often as it occurs, in lines of at most `limit` words."""
    for word in sorted(counts):
        coded = "".join(code[symbol] for symbol in characters(word)) + " "
        whole, rest = divmod(counts[word], limit)
        for _ in range(whole):
            yield coded * limit
        if rest:
            yield coded * rest


# The stage. ----------------------------------------------------------------------------------


def import_files(vocab: Path, merges: Path, out: Path) -> Tokenizer:
    """Take over a released vocabulary: check it and write it to `out` with a manifest."""
    tokenizer = read_files(vocab, merges)
    job = TokenizerJob(
        tokenizer=TokenizerSettings(
            merges=max(1, len(tokenizer.merges)),
            vocab_file=str(vocab),
            merges_file=str(merges),
        )
    )
    return _import(job, tokenizer, out)


def _import(job: TokenizerJob, tokenizer: Tokenizer, out: Path) -> Tokenizer:
    """Write a tokenizer that was read from the files that the job names."""
    names = {"vocab": job.tokenizer.vocab_file, "merges": job.tokenizer.merges_file}
    inputs = {key: file_digest(Path(name)) for key, name in names.items() if name}
    return _write(tokenizer, Run("tokenizer", job, inputs), out, {"source": "imported"})


def run_train(job: TokenizerJob, books: Path, out: Path) -> Tokenizer:
    """The stage `tokenizer`: train on `books`/train (or on the training books that `corpus`
    chooses), or import the files that the job names.

    Writes `encoder.json`, `merges.txt` and `manifest.json` to `out`. Raises `UserError` where
    there are no books or a file is missing.
    """
    settings = job.tokenizer
    if settings.vocab_file or settings.merges_file:
        if not (settings.vocab_file and settings.merges_file):
            raise UserError("tokenizer: vocab_file and merges_file are given together or not")
        read = read_files(Path(settings.vocab_file), Path(settings.merges_file))
        return _import(job, read, out)
    reading = job.corpus
    if reading is None:
        files = book_files(books, "train")
        run = Run("tokenizer", job, {"books": digest_of(files)})
        tokenizer, count = train(files, settings), len(files)
    else:
        collection = collect(books, reading)
        run = Run("tokenizer", job, collection.digests)
        count = 0

        def counted() -> Iterator[Book]:
            nonlocal count
            for count, book in enumerate(training_books(collection, reading), 1):  # noqa: B007
                yield book

        tokenizer = train(
            counted(),
            settings,
            strip_licence=reading.strip_licence,
            total=collection.training_books,
        )
    print(
        f"tokenizer: {len(tokenizer.merges)} merges, {tokenizer.vocab_size} symbols"
        f" from {count} books",
        flush=True,
    )
    return _write(tokenizer, run, out, {"source": "trained", "books": count})


def _write(tokenizer: Tokenizer, run: Run, out: Path, facts: dict[str, Any]) -> Tokenizer:
    (out / MANIFEST).unlink(missing_ok=True)
    tokenizer.save(out)
    run.finish(
        out,
        tokenizer_id=tokenizer.id,
        vocab_size=tokenizer.vocab_size,
        merges=len(tokenizer.merges),
        **facts,
    )
    return tokenizer
