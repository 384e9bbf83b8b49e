"""Tokenizers: a given vocabulary, a Hugging Face tokenizer, or byte-level BPE trained on the corpus with
``tokenizers``."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

from design_space.files import read_json, read_text, short

TRAIN = "train"
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_MOST_TOKENS = 2**31
_TOKENIZER_FILE = "tokenizer.json"
_FILES = {_TOKENIZER_FILE: ("added_tokens", "model"), "tokenizer_config.json": (), "special_tokens_map.json": ()}
"""Those that ``AutoTokenizer`` reads, and the keys that they need."""
_BPE_TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")


def build_tokenizer(
    source: str, texts: Iterable[str] | None = None, *, vocab_size: int | None = None
) -> PreTrainedTokenizerBase:
    """A tokenizer with padding, mask and sentence tokens.

    Args:
        source: ``train``; a WordPiece vocabulary ``vocab.txt`` (lower case); a folder with ``vocab.json`` and
            ``merges.txt`` (byte-level BPE); or a folder or Hub name for ``AutoTokenizer``.
        texts: those that ``train`` learns from. vocab_size: most tokens ``train`` may make.

    Raises:
        ValueError: for a vocabulary that is missing, damaged or lacks special tokens, or a name that cannot be loaded.
    """
    if source == TRAIN:
        if texts is None or vocab_size is None:
            raise ValueError("A tokenizer is trained on 'texts' to a 'vocab_size'. Give both")
        return _trained(texts, vocab_size)
    path = Path(source).absolute()
    if path.is_dir() and not (path / _TOKENIZER_FILE).exists():
        if (path / "vocab.txt").exists():
            return _word_piece(path / "vocab.txt")
        if (path / "vocab.json").exists() and (path / "merges.txt").exists():
            return _byte_level(path)
    if path.is_file():
        return _word_piece(path)
    tokenizer = _loaded(source)
    missing = [name for name in ("pad_token_id", "mask_token_id") if getattr(tokenizer, name) is None]
    if missing:
        raise ValueError(f"The tokenizer {source!r} lacks {', '.join(missing)}, which masked language modelling needs")
    return tokenizer


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """The largest id and one more: as many rows as a table of tokens needs. A vocabulary may leave ids out, as one with
    a line that comes twice does."""
    return max(tokenizer.get_vocab().values()) + 1


def _trained(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    if vocab_size < 300:
        raise ValueError(f"'vocab_size' must be at least 300 to hold letters and special tokens. Got {vocab_size}")
    # Byte-level BPE: the library's WordPiece trainer gives other tokens in every process.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    cls, sep = SPECIAL_TOKENS["cls_token"], SPECIAL_TOKENS["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def _word_piece(file: Path) -> PreTrainedTokenizerBase:
    words = [line.removesuffix("\r") for line in read_text(file, "a vocabulary").removesuffix("\n").split("\n")]
    missing = [token for token in SPECIAL_TOKENS.values() if token not in words]
    if missing:
        raise ValueError(f"{file} is no BERT vocabulary: it lacks {', '.join(missing)}")
    return BertTokenizer({word: number for number, word in enumerate(words)})


def _byte_level(folder: Path) -> PreTrainedTokenizerBase:
    file = folder / "vocab.json"
    vocabulary = _object(file)
    wrong = [token for token, number in vocabulary.items() if type(number) is not int or not 0 <= number < _MOST_TOKENS]
    if wrong:
        raise ValueError(
            f"{file} must give every token a whole number from 0. Got {short(vocabulary[wrong[0]])} of {wrong[0]!r}"
        )
    missing = [token for token in _BPE_TOKENS if token not in vocabulary]
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}")
    return RobertaTokenizer(vocabulary, _merges(folder / "merges.txt", vocabulary))


def _merges(file: Path, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """The pairs of tokens that become one, a line each."""
    merges = []
    for number, line in enumerate(read_text(file, "a list of merges").split("\n"), start=1):
        pair = line.removesuffix("\r").split(" ")
        if pair == [""] or line.startswith("#version"):
            continue
        if len(pair) != 2 or not all(token in vocabulary for token in (*pair, "".join(pair))):
            raise ValueError(
                f"{file}, line {number} must hold two tokens of vocab.json with a blank between them, whose union is "
                f"in it too. Got {short(line)}"
            )
        merges.append((pair[0], pair[1]))
    return merges


def _loaded(source: str) -> PreTrainedTokenizerBase:
    """What ``AutoTokenizer`` makes of a folder or a name."""
    folder = Path(source).absolute()
    for name, keys in _FILES.items():
        if (folder / name).is_file():
            content = _object(folder / name)
            missing = [key for key in keys if key not in content]
            if missing:
                raise ValueError(f"{folder / name} is no tokenizer: it lacks {', '.join(missing)}")
    try:
        return AutoTokenizer.from_pretrained(source)
    except Exception as error:  # of a damaged file the libraries raise whatever they come upon
        reason = " ".join(str(error).split())
        if (folder / _TOKENIZER_FILE).is_file():
            raise ValueError(f"{folder / _TOKENIZER_FILE}, or a file beside it, is damaged: {reason}") from error
        raise ValueError(
            f"'tokenizer' must be 'train', a vocab.txt, a folder with a tokenizer, "
            f"or a Hub name that can be reached. Got {source!r}: {reason}"
        ) from error


def _object(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a JSON object. Got {short(content)}")
    return content
