"""The pictures of the explanation pages, in English and Korean.

`python docs/figures/make_explanations.py` writes them. Each is 420 wide, so that its text can be
read on a phone, and has a light ground of its own, so that it can be read on a dark page.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
WIDTH = 420
INK, RULE = "#1b1f24", "#57606a"
GROUND, PLAIN, BLUE, ORANGE, GREEN = "#ffffff", "#f3f4f6", "#d6e8f5", "#fbe8c3", "#cfeee2"
FONT = "'Noto Sans', 'Noto Sans CJK KR', 'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif"

KOREAN = {
    "1. Pre-training": "1. 사전 학습",
    "2. Fine-tuning": "2. 미세 조정",
    "books, no labels": "책, 레이블 없음",
    "examples with labels": "레이블이 있는 예제",
    "BPE: tokens": "BPE: 토큰",
    "BPE and special tokens": "BPE와 특수 토큰",
    "Transformer": "트랜스포머",
    "the same Transformer": "같은 트랜스포머",
    "weights": "가중치",
    "next token, P(u)": "다음 토큰, P(u)",
    "linear layer W_y, P(y | x)": "선형 층 W_y, P(y | x)",
    "L1 as large as possible": "L1을 최대로",
    "L3 = L2 + 0.5 L1": "L3 = L2 + 0.5 L1",
    "Classification": "분류",
    "Entailment": "함의",
    "Similarity": "유사도",
    "Multiple choice": "선다형",
    "text": "텍스트",
    "premise": "전제",
    "hypothesis": "가설",
    "context, question": "문맥, 질문",
    "answer 1": "답 1",
    "answer k": "답 k",
    "text 1": "텍스트 1",
    "text 2": "텍스트 2",
    "states added": "상태를 더함",
    "softmax over answers": "답들에 대한 소프트맥스",
    "linear": "선형 층",
    "ids": "토큰 번호",
    "token + position embedding": "토큰 + 위치 임베딩",
    "q, k, v: one projection": "q, k, v: 한 번의 사영",
    "split into 12 heads": "헤드 12개로 나눔",
    "scores / 8, mask, softmax": "점수 / 8, 마스크, 소프트맥스",
    "mix the values": "값을 섞음",
    "join heads, projection": "헤드를 잇고 사영",
    "+ input, LayerNorm": "+ 입력, LayerNorm",
    "MLP: wider, GELU": "MLP: 넓게, GELU",
    "MLP: back": "MLP: 되돌림",
    "product with the embedding": "임베딩과의 곱",
    "12 times": "12번",
    "stage": "단계",
    "shape": "모양",
    "GPT-1: before": "GPT-1: 앞쪽",
    "BERT: all": "BERT: 전부",
    "GPT-3: a band": "GPT-3: 띠",
    "which tokens (across) a token (down) sees": "각 토큰(세로)이 보는 토큰(가로)",
    "GPT-1: LayerNorm after the sum": "GPT-1: 합한 뒤 LayerNorm",
    "GPT-2: LayerNorm before the branch": "GPT-2: 분기 앞 LayerNorm",
    "attention": "어텐션",
}


class Picture:
    """Elements of one picture; `say` translates its words."""

    def __init__(self, height: int, language: str) -> None:
        self.height, self.korean = height, language == "ko"
        self.parts: list[str] = []

    def say(self, text: str) -> str:
        """The text in the picture's language, escaped."""
        return escape(KOREAN.get(text, text) if self.korean else text)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 13,
        anchor: str = "middle",
        bold: bool = False,
    ) -> None:
        """One line, its middle at height y."""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y + size * 0.35:g}" font-size="{size}" text-anchor="{anchor}"'
            f"{weight}>{self.say(text)}</text>"
        )

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        text: str = "",
        fill: str = PLAIN,
        size: int = 13,
    ) -> None:
        """A rectangle with a text in its middle."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="4" fill="{fill}"'
            f' stroke="{RULE}"/>'
        )
        if text:
            self.text(x + w / 2, y + h / 2, text, size)

    def arrow(self, *points: tuple[float, float], head: bool = True) -> None:
        """A line through points, with an arrowhead at its end."""
        way = " ".join(f"{x:g},{y:g}" for x, y in points)
        end = ' marker-end="url(#head)"' if head else ""
        self.parts.append(f'<polyline points="{way}" fill="none" stroke="{RULE}"{end}/>')

    def svg(self) -> str:
        """The file's text."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}"'
                f' viewBox="0 0 {WIDTH} {self.height}" font-family="{FONT}" fill="{INK}">',
                '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
                f' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{RULE}"/></marker>'
                "</defs>",
                f'<rect width="{WIDTH}" height="{self.height}" rx="8" fill="{GROUND}"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def method(language: str) -> Picture:
    """The two trainings side by side, joined by the weights."""
    picture = Picture(330, language)
    columns = (
        (12, "1. Pre-training", "books, no labels", "BPE: tokens", "Transformer",
         "next token, P(u)", "L1 as large as possible"),
        (230, "2. Fine-tuning", "examples with labels", "BPE and special tokens",
         "the same Transformer", "linear layer W_y, P(y | x)", "L3 = L2 + 0.5 L1"),
    )  # fmt: skip
    for x, title, *rows, goal in columns:
        picture.text(x + 89, 22, title, 15, bold=True)
        for i, (row, fill) in enumerate(zip(rows, (PLAIN, PLAIN, BLUE, ORANGE), strict=True)):
            top, height = (42, 104, 166, 244)[i], 54 if i == 2 else 38
            picture.box(x, top, 178, height, row, fill)
            if i:
                picture.arrow((x + 89, (80, 142, 220)[i - 1]), (x + 89, top - 1))
        picture.text(x + 89, 304, goal, 13, bold=True)
    picture.arrow((190, 193), (229, 193))
    picture.text(210, 180, "weights", 11)
    return picture


def inputs(language: str) -> Picture:
    """Figure 1 of the paper: a task's input as a sequence."""
    picture = Picture(420, language)
    y = 24
    rows: tuple[tuple[str, list[list[str]], str], ...] = (
        ("Classification", [["text"]], "linear"),
        ("Entailment", [["premise", "hypothesis"]], "linear"),
        ("Similarity", [["text 1", "text 2"], ["text 2", "text 1"]], "states added"),
        ("Multiple choice", [["context, question", "answer 1"], ["context, question", "answer k"]],
         "softmax over answers"),
    )  # fmt: skip
    for title, sequences, end in rows:
        picture.text(12, y, title, 14, "start", bold=True)
        picture.text(408, y, f"→ {picture_text(picture, end)}", 12, "end")
        for texts in sequences:
            y += 20
            cells = ["start", texts[0], *(f for t in texts[1:] for f in ("delim.", t)), "classify"]
            fixed = {"start": 46, "delim.": 50, "classify": 62}
            room = (396 - sum(fixed.get(c, 0) for c in cells)) / len(texts)
            x = 12.0
            for cell in cells:
                wide = fixed.get(cell, room)
                special = cell in fixed
                picture.box(x, y, wide, 30, cell, ORANGE if special else BLUE, 12)
                x += wide
            y += 18
        y += 38
    picture.height = y - 14
    return picture


def picture_text(picture: Picture, text: str) -> str:
    """A translated part of a longer text (escaped when it is drawn)."""
    return KOREAN.get(text, text) if picture.korean else text


def vectors(language: str) -> Picture:
    """A block from top to bottom with the shape at each stage."""
    picture = Picture(640, language)
    rows = (
        ("ids", "[b, t]", PLAIN),
        ("token + position embedding", "[b, t, 768]", PLAIN),
        ("q, k, v: one projection", "[b, t, 2304]", BLUE),
        ("split into 12 heads", "3 x [b, 12, t, 64]", BLUE),
        ("scores / 8, mask, softmax", "[b, 12, t, t]", BLUE),
        ("mix the values", "[b, 12, t, 64]", BLUE),
        ("join heads, projection", "[b, t, 768]", BLUE),
        ("+ input, LayerNorm", "[b, t, 768]", GREEN),
        ("MLP: wider, GELU", "[b, t, 3072]", ORANGE),
        ("MLP: back", "[b, t, 768]", ORANGE),
        ("+ input, LayerNorm", "[b, t, 768]", GREEN),
        ("product with the embedding", "[b, t, 40478]", PLAIN),
    )
    picture.text(160, 20, "stage", 13, bold=True)
    picture.text(346, 20, "shape", 13, bold=True)
    tops = [36 + 48 * i + (14 if i > 1 else 0) + (14 if i > 10 else 0) for i in range(len(rows))]
    frame = tops[2] - 10, tops[10] + 44
    picture.parts.append(
        f'<rect x="28" y="{frame[0]}" width="258" height="{frame[1] - frame[0]}" rx="6" fill="none"'
        f' stroke="{RULE}" stroke-dasharray="4 3"/>'
    )
    for (name, shape, fill), top in zip(rows, tops, strict=True):
        picture.box(56, top, 208, 34, name, fill)
        picture.text(346, top + 17, shape, 13)
    for above, below in pairwise(tops):
        picture.arrow((160, above + 34), (160, below - 1))
    for start, end in ((1, 7), (7, 10)):  # what goes past attention and past the MLP
        way = tops[start] + 17 + (4 if start == 7 else 0), tops[end] + 17 - (4 if end == 7 else 0)
        picture.arrow((56, way[0]), (40, way[0]), (40, way[1]), (55, way[1]))
    picture.text(346, frame[1] + 4, "12 times", 13, bold=True)
    picture.arrow((310, frame[1] + 4), (287, frame[1] + 4), head=False)
    picture.height = tops[-1] + 50
    return picture


def family(language: str) -> Picture:
    """Who sees whom, and where LayerNorm stands."""
    picture = Picture(400, language)
    masks = (("GPT-1: before", 6, 0), ("BERT: all", 6, 6), ("GPT-3: a band", 3, 0))
    for i, (title, back, ahead) in enumerate(masks):
        left = 15 + 136 * i
        picture.text(left + 60, 20, title, 14, bold=True)
        for row in range(6):
            for column in range(6):
                seen = row - back < column <= row + ahead
                picture.box(left + 20 * column, 36 + 20 * row, 19, 19, "", BLUE if seen else GROUND)
    picture.text(210, 176, "which tokens (across) a token (down) sees", 12)
    flows = (
        ("GPT-1: LayerNorm after the sum", "attention + LayerNorm MLP + LayerNorm".split()),
        ("GPT-2: LayerNorm before the branch", "LayerNorm attention + LayerNorm MLP +".split()),
    )  # fmt: skip
    colour = {"attention": BLUE, "MLP": ORANGE, "LayerNorm": GREEN}
    for i, (title, steps) in enumerate(flows):
        top = 212 + 120 * i
        picture.text(12, top, title, 14, "start", bold=True)
        x, middle = 14.0, top + 56
        places = []
        for step in steps:
            wide = 20 if step == "+" else 72
            picture.box(x, middle - 15, wide, 30, step, colour.get(step, PLAIN), 12)
            places.append((x, wide))
            x += wide + 13
        for (x, wide), (after, _) in pairwise(places):
            picture.arrow((x + wide, middle), (after - 1, middle))
        picture.arrow((2, middle), (13, middle))
        sums = [j for j, step in enumerate(steps) if step == "+"]
        starts = [0, sums[0] + 2] if steps[0] == "attention" else [0, sums[0] + 1]
        for start, end in zip(starts, sums, strict=True):  # the input, past the branch
            begin = places[start][0] - 6
            to = places[end][0] + 10
            picture.arrow(
                (begin, middle), (begin, middle - 28), (to, middle - 28), (to, middle - 16)
            )
    return picture


def drawn() -> Iterator[tuple[Path, str]]:
    """Every picture's file and text."""
    for make in (method, inputs, vectors, family):
        for language, ending in (("en", ".svg"), ("ko", ".ko.svg")):
            yield FOLDER / f"{make.__name__}{ending}", make(language).svg()


if __name__ == "__main__":
    for path, text in drawn():
        path.write_text(text, "utf-8")
