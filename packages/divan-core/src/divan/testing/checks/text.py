"""Internal: the checks of Unicode: every well-formed string comes back as it was given, and is found by it."""

from __future__ import annotations

from typing import Final

import pytest

from divan import Store
from divan.testing.base import StoreChecks

TEXTS: Final = {
    "the empty string": "",
    "spaces": "  a  b  ",
    "a space": " ",
    "a NUL inside": "a\0b",
    "a NUL alone": "\0",
    "a NUL at the end": "a\0",
    "control characters": "".join(map(chr, range(1, 32))),
    "DEL and the C1 controls": "".join(map(chr, range(0x7F, 0xA0))),
    "line ends": "a\r\nb\rc\nd",
    "line separators": "a\u2028b\u2029c\x85d",
    "a byte order mark": "\ufeffa",
    "quotes and backslashes": '"\'`\\\\"\\n\\u0041',
    "a JSON escape": "\\ud83d\\ude00",
    "JSON": '{"a": [1, null]}',
    "HTML": "<b>&amp;</b><script>",
    "SQL": "'; DROP TABLE documents; --",
    "a percent and a wildcard": "100% _ *",
    "accents": "àéîõü",
    "a composed accent": "\u00e9",
    "a decomposed accent": "e\u0301",
    "stacked marks": "a" + "\u0301\u0302\u0303\u0308" * 5,
    "German sharp s": "Straße STRASSE",
    "Turkish dotless i": "ıİiI",
    "right to left": "שלום עולם",
    "direction marks": "\u202eabc\u202c\u200f",
    "Arabic": "السلام عليكم",
    "Devanagari": "नमस्ते",
    "Chinese": "你好，世界",
    "Hangul jamo": "\u1112\u1161\u11ab",
    "an emoji": "😀",
    "emoji joined by zero width": "👩‍👩‍👧‍👦",
    "flags": "🇬🇧🇳🇴",
    "mathematical letters": "𝒜𝔅ℂ",
    "a zero width space": "a\u200bb",
    "the last of the basic plane": "\uffff",
    "noncharacters": "\ufdd0\ufffe\U0001ffff",
    "the replacement character": "\ufffd",
    "private use": "\ue000\U000f0000",
    "the last code point": "\U0010ffff",
    "around the surrogates": "\ud7ff\ue000",
    "ten thousand emoji": "😀" * 10_000,
}

each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


class Text(StoreChecks):
    """Strings of every script."""

    @each_text
    def test_text_is_kept(self, store: Store, text: str) -> None:
        document = store.create({"text": text, "list": [text], "object": {"text": text}})
        assert store.get(document.id) == {"text": text, "list": [text], "object": {"text": text}}

    @each_text
    def test_text_is_kept_by_an_update(self, store: Store, text: str) -> None:
        document = store.create({"a": text})
        assert store.update(document.id, {"b": text}) == {"a": text, "b": text}

    @each_text
    def test_text_is_found(self, store: Store, text: str) -> None:
        document = store.create({"text": text})
        store.create({"text": f"{text}x"})
        store.create({"text": [text]})
        assert [found.id for found in store.find({"text": text})] == [document.id]

    @each_text
    def test_text_is_found_as_a_part(self, store: Store, text: str) -> None:
        document = store.create({"text": f"<<{text}>>"})
        store.create({"text": "<>"})
        found = [found.id for found in store.find({"text": {"$contains": f"<{text}>"}})]
        assert found == [document.id] if text else len(found) == 2

    def test_texts_are_ordered_by_code_point(self, store: Store) -> None:
        texts = [text for text in TEXTS.values() if len(text) < 1000]
        store.create_many({"text": text} for text in texts)
        assert [document["text"] for document in store.find(sort="text")] == sorted(texts)

    def test_ranges_of_texts_are_by_code_point(self, store: Store) -> None:
        texts = [text for text in TEXTS.values() if len(text) < 1000]
        store.create_many({"text": text} for text in texts)
        found = [document["text"] for document in store.find({"text": {"$gte": "a", "$lt": "\uffff"}})]
        assert sorted(found) == sorted(text for text in texts if "a" <= text < "\uffff")
