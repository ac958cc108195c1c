using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// How the tensors of a GGUF file are stored that lie on no integer grid; those that do always keep their codes and scales. Types are F32, F16, BF16,
/// Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1, rounded as ggml's reference code rounds. Null means F16, or, when the source is a GGUF file, the bytes of the source.
/// </summary>
public sealed record GgufExportOptions
{
    /// <summary>Linear weights of the blocks that lie on no grid.</summary>
    public GgmlType? Linear { get; init; }

    /// <summary>The embedding, which is the output head too where the model ties them.</summary>
    public GgmlType? Embedding { get; init; }

    /// <summary>An output head of its own.</summary>
    public GgmlType? Output { get; init; }

    /// <summary>What happens to a tensor whose grid fits no block.</summary>
    public GgufMisfit Misfit { get; init; }

    /// <summary>
    /// Leaves out the low-rank branches of the source, because they go into a file of their own; otherwise a source that has branches is refused.
    /// </summary>
    public bool LeavesOutBranches { get; init; }

    /// <summary>Writes no vocabulary: the file then serves token ids only. Otherwise a source without a tokenizer is refused.</summary>
    public bool WithoutTokenizer { get; init; }

    /// <summary>
    /// Leaves out what a GGUF vocabulary has no place for: normalizers, pre-tokenizers without a name, flags of added tokens. Otherwise a tokenizer that
    /// has them is refused.
    /// </summary>
    public bool LossyVocabulary { get; init; }

    /// <summary>Writes a model of which llama.cpp computes something else; for measuring how much.</summary>
    internal bool DespiteLimits { get; init; }

    /// <summary><c>general.name</c>; null for the name of the source.</summary>
    public string? Name { get; init; }
}
