"""Tokenizers: a given vocabulary, a Hugging Face tokenizer, or byte-level BPE trained on the corpus with
``tokenizers``."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

from design_space.files import read_text

TRAIN = "train"
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
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
        ValueError: for a vocabulary that is missing or lacks special tokens, or a name that cannot be loaded.
    """
    if source == TRAIN:
        if texts is None or vocab_size is None:
            raise ValueError("A tokenizer is trained on 'texts' to a 'vocab_size'. Give both")
        return _trained(texts, vocab_size)
    path = Path(source).absolute()
    if path.is_dir() and not (path / "tokenizer.json").exists():
        if (path / "vocab.txt").exists():
            return _word_piece(path / "vocab.txt")
        if (path / "vocab.json").exists() and (path / "merges.txt").exists():
            return _byte_level(path)
    if path.is_file():
        return _word_piece(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"'tokenizer' must be 'train', a vocab.txt, a folder with a tokenizer, "
            f"or a Hub name that can be reached. Got {source!r}: {error}"
        ) from error
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
    vocabulary, merges = models.BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    missing = [token for token in _BPE_TOKENS if token not in vocabulary]
    if missing:
        raise ValueError(f"{folder / 'vocab.json'} lacks {', '.join(missing)}")
    return RobertaTokenizer(vocabulary, merges)
