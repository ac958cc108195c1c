namespace LowRankQuant.Models.Tokenizers.Gguf;

/// <summary>The vocabulary of a GGUF file: the values of its <c>tokenizer.ggml.*</c> keys, null where a key is absent.</summary>
public sealed record GgufVocabulary
{
    /// <summary><c>tokenizer.ggml.model</c>: "llama" (SentencePiece style) or "gpt2" (byte-level BPE).</summary>
    public required string Model { get; init; }

    /// <summary><c>general.name</c>. Only a name with "phi-3" or "phi3" in it matters: then white space after special tokens is dropped.</summary>
    public string? ModelName { get; init; }

    /// <summary><c>tokenizer.ggml.pre</c>: name of the pre-tokenizer of a "gpt2" vocabulary.</summary>
    public string? Pre { get; init; }

    /// <summary><c>tokenizer.ggml.tokens</c>, by id.</summary>
    public required IReadOnlyList<string> Tokens { get; init; }

    /// <summary><c>tokenizer.ggml.scores</c>, by id; needed by "llama".</summary>
    public IReadOnlyList<float>? Scores { get; init; }

    /// <summary><c>tokenizer.ggml.token_type</c>, by id: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.</summary>
    public IReadOnlyList<int>? TokenTypes { get; init; }

    /// <summary><c>tokenizer.ggml.merges</c> as "left right", by rank; needed by "gpt2".</summary>
    public IReadOnlyList<string>? Merges { get; init; }

    /// <summary><c>tokenizer.ggml.bos_token_id</c>.</summary>
    public int? BosId { get; init; }

    /// <summary><c>tokenizer.ggml.eos_token_id</c>.</summary>
    public int? EosId { get; init; }

    /// <summary><c>tokenizer.ggml.unknown_token_id</c>.</summary>
    public int? UnknownId { get; init; }

    /// <summary><c>tokenizer.ggml.add_bos_token</c>. Absent: true for "llama" and the Llama 3 pre-tokenizer, else false.</summary>
    public bool? AddBos { get; init; }

    /// <summary><c>tokenizer.ggml.add_eos_token</c>. Absent: false.</summary>
    public bool? AddEos { get; init; }

    /// <summary><c>tokenizer.ggml.add_space_prefix</c>, used by "llama" only. Absent: true.</summary>
    public bool? AddSpacePrefix { get; init; }
}
