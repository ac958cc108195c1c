using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Models.Families;

/// <summary>What a family makes of a configuration: sizes, names, and how embedding, blocks and head are put together.</summary>
public sealed record Architecture
{
    private const string Weight = ".weight";

    // What old checkpoints of any family hold: rotary tables, and the number that masked scores get.
    private static readonly string[] CommonBuffers =
        ["rotary_emb.inv_freq", "rotary_emb.original_inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", ".masked_bias"];

    /// <summary>Sizes and choices.</summary>
    public required DecoderConfig Config { get; init; }

    /// <summary>Name of the embedding tensor.</summary>
    public string EmbeddingName { get; init; } = "model.embed_tokens.weight";

    /// <summary>Name of the output head's tensor.</summary>
    public string HeadName { get; init; } = "lm_head.weight";

    /// <summary>Whether the text model is a part of a multimodal one.</summary>
    public bool IsPart { get; init; }

    /// <summary>Columns of embedding and head; the stream's but for OPT-350m.</summary>
    public int? EmbeddingWidth { get; init; }

    /// <summary>Why the model cannot be run: no family knows it, and all that is known are its linears. Null for a family's.</summary>
    public string? Unknown { get; init; }

    /// <summary>Names of the blocks where they are no numbers behind <see cref="Blocks"/>; null where they are.</summary>
    internal IReadOnlyList<string>? Names { get; init; }

    /// <summary>What stands in front of the number of a block.</summary>
    public string Blocks { get; init; } = "model.layers.";

    /// <summary>Beginnings of names of tensors within the model that is computed, and not of parts beside it.</summary>
    public IReadOnlyList<string> Roots { get; init; } = ["model.", "lm_head."];

    /// <summary>What stands in front of all names but that of the head.</summary>
    public string Base { get; init; } = "model.";

    /// <summary>First parts of names behind <see cref="Base"/>, by which files of a base model without its head are known.</summary>
    public IReadOnlyList<string> BaseNames { get; init; } = ["embed_tokens", "norm", "layers"];

    /// <summary>Beginnings of stored names that mean others.</summary>
    public IReadOnlyList<(string From, string To)> Prefixes { get; init; } = [];

    /// <summary>Blocks behind the last that files may hold, such as those that predict several tokens; carried over.</summary>
    public int ExtraBlocks { get; init; }

    /// <summary>Whether a tensor within the model is not computed with, by the configuration; carried over.</summary>
    public Func<string, bool> Unused { get; init; } = _ => false;

    /// <summary>Whether a tensor within the model is not computed with: one of the extra blocks, or one that the family does not use.</summary>
    public bool IsUnused(string tensor) => BlockOf(tensor) >= Config.Layers || Unused(tensor);

    /// <summary>Ends of names of buffers that files of this family hold beside those of all families, see <see cref="IsBuffer"/>.</summary>
    public IReadOnlyList<string> Buffers { get; init; } = [];

    /// <summary>Its GGUF form; null where llama.cpp has no such architecture.</summary>
    public GgufForm? Gguf { get; init; }

    /// <summary>Whether a tensor is one that every loader computes again, such as a rotary table or a mask: nothing reads, writes or compares it.</summary>
    public bool IsBuffer(string tensor) => CommonBuffers.Concat(Buffers).Any(end => tensor.EndsWith(end, StringComparison.Ordinal));

    /// <summary>Puts a block together.</summary>
    internal Func<BlockParts, IBlockBody> Block { get; init; } = _ => throw new InvalidOperationException("The family puts no blocks together.");

    /// <summary>Makes the norm in front of the head, and what else stands there, from parts without a name in front; null where there is none.</summary>
    internal Func<BlockParts, INorm>? FinalNorm { get; init; }

    /// <summary>What the embedding has beside its table; null for the table alone.</summary>
    internal Func<BlockParts, Tensor, InputEmbedding>? Embedding { get; init; }

    /// <summary>What the head has beside norm and matrix; null for these alone.</summary>
    internal Func<BlockParts, INorm?, Tensor, OutputHead>? Head { get; init; }

    /// <summary>Name of block <paramref name="index"/>, such as <c>model.layers.3</c>.</summary>
    public string BlockName(int index) => Names?[index] ?? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Blocks}{index}");

    /// <summary>The block that a tensor belongs to; null for one outside the blocks.</summary>
    public int? BlockOf(string tensor)
    {
        if (!tensor.StartsWith(Blocks, StringComparison.Ordinal)) return null;
        int end = tensor.IndexOf('.', Blocks.Length);
        return end > 0 && int.TryParse(
            tensor.AsSpan(Blocks.Length, end - Blocks.Length), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int index)
            ? index
            : null;
    }

    /// <summary>Whether a name is one within the model that is computed, and not of a part beside it such as a vision tower or a classifier.</summary>
    public bool Owns(string tensor)
    {
        if (!Roots.Any(root => tensor.StartsWith(root, StringComparison.Ordinal))) return false;
        // Beside a text model that is a part of another there are the other parts.
        return !IsPart || !tensor.StartsWith(Base, StringComparison.Ordinal)
            || BaseNames.Any(name => tensor.AsSpan(Base.Length).StartsWith(name) && tensor[(Base.Length + name.Length)..].StartsWith('.'));
    }

    /// <summary>Lists all tensors.</summary>
    /// <param name="isStored">Whether files hold a tensor under a name; matters where a family knows several forms.</param>
    public ModelLayout Layout(Func<string, bool> isStored)
    {
        using var listing = new TensorListing(isStored);
        var blocks = new List<string>();
        var linears = new List<IReadOnlyList<LinearShape>>();
        var onTape = new List<TapeNumbers>();
        int chosen = 0;
        for (int index = 0; index < Config.Layers; index++)
        {
            using var parts = new BlockParts(listing, BlockName(index), index);
            onTape.Add(Block(parts).OnTape(Config.HiddenSize));
            blocks.Add(parts.Name);
            chosen = Math.Max(chosen, parts.ExpertsPerToken);
            linears.Add([.. parts.Shapes]);
        }
        using var table = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using (var around = new BlockParts(listing, "", -1)) Around(around, table);
        return new ModelLayout(listing.Tensors, blocks, linears, listing.Biases) { ExpertsPerToken = chosen, OnTape = onTape, Vocabulary = Unknown is null ? Vocabulary : null };
    }

    private VocabularyShape Vocabulary => new(
        EmbeddingName[..^Weight.Length], HeadName[..^Weight.Length], Config.VocabularySize, EmbeddingWidth ?? Config.HiddenSize, Config.TiedEmbeddings);

    internal InputEmbedding MakeEmbedding(BlockParts parts, Tensor table) =>
        Embedding?.Invoke(parts, table) ?? new InputEmbedding { Table = table, HiddenSize = Config.HiddenSize, Parts = parts };

    internal OutputHead MakeHead(BlockParts parts, Tensor weight)
    {
        INorm? norm = FinalNorm?.Invoke(parts);
        return Head?.Invoke(parts, norm, weight) ?? new OutputHead(norm, weight, parts);
    }

    private void Around(BlockParts parts, CpuDevice device)
    {
        using Tensor nothing = device.Zeros(1);
        Embedding?.Invoke(parts, nothing);
        INorm? norm = FinalNorm?.Invoke(parts);
        Head?.Invoke(parts, norm, nothing);
    }
}
