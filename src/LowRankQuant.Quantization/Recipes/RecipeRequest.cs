using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>What somebody asked for; null where nothing was said. <c>Resolving/RecipeResolver</c> makes a <see cref="Recipe"/> of it.</summary>
public sealed record RecipeRequest
{
    /// <summary>Name of a preset; see <see cref="PresetNames"/>.</summary>
    public string? Preset { get; init; }

    /// <summary>Name of a method of the catalog.</summary>
    public string? Method { get; init; }

    /// <summary>Name of a scheme, which gives what nothing else says; null for none.</summary>
    public string? Scheme { get; init; }

    /// <summary>Grid of the inputs of linears, such as <c>8:token</c>, or off.</summary>
    public string? Activations { get; init; }

    /// <summary>How ranges of static activations are found.</summary>
    public string? ActivationRange { get; init; }

    /// <summary>Linears whose input is quantized per token though the others are static, by patterns.</summary>
    public IReadOnlyList<string> PerToken { get; init; } = [];

    /// <summary>Grid of keys and values, such as <c>8:head</c>, or off.</summary>
    public string? Cache { get; init; }

    /// <summary>How ranges of static keys and values are found.</summary>
    public string? CacheRange { get; init; }

    /// <summary>Whether keys are quantized before their rotation.</summary>
    public bool? KeysBeforeRotation { get; init; }

    /// <summary>Transforms in order; null for what belongs to the scheme.</summary>
    public IReadOnlyList<TransformStage>? Transforms { get; init; }

    /// <summary>What was asked for of the method's own options, texts by key.</summary>
    public IReadOnlyDictionary<string, string> Options { get; init; } = new Dictionary<string, string>();

    /// <summary>Name of a grid, such as <c>q3_k</c>, <c>mxfp4</c> or <c>q4_1</c>; null for one of bits, groups and zeros.</summary>
    public string? Grid { get; init; }

    /// <summary>Grids of their own for some layers; of several rules that match a layer the last counts.</summary>
    public IReadOnlyList<LayerRule> LayerRules { get; init; } = [];

    /// <summary>Blocks with a method, options or a seed of their own; of several rules that name a block the last says more.</summary>
    public IReadOnlyList<BlockRule> BlockRules { get; init; } = [];

    /// <summary>Bits of the input embedding as they were asked for: 8, 4 or off.</summary>
    public string? Embedding { get; init; }

    /// <summary>Bits of the output head as they were asked for: 8, 4 or off.</summary>
    public string? Head { get; init; }

    /// <summary>The engine or container whose rules the grids have to obey.</summary>
    public Target? Target { get; init; }

    /// <summary>What happens to layers that the target cannot hold.</summary>
    public MisfitRule? OnMisfit { get; init; }

    /// <summary>Shards into which vLLM will cut the model.</summary>
    public int? TensorParallel { get; init; }

    /// <summary>Code width.</summary>
    public int? Bits { get; init; }

    /// <summary>Weights per scale.</summary>
    public Granularity? Granularity { get; init; }

    /// <summary>Inputs per group, when the granularity is group.</summary>
    public int? GroupSize { get; init; }

    /// <summary>Symmetric grid.</summary>
    public bool? Symmetric { get; init; }

    /// <summary>How groups store where the value 0 lies.</summary>
    public ZeroKind? Zeros { get; init; }

    /// <summary>Stored type of scales.</summary>
    public ScaleType? ScaleType { get; init; }

    /// <summary>What products of linears are rounded to while blocks are run and learned.</summary>
    public Precision? Precision { get; init; }

    /// <summary>Seed of everything random.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Calibration windows to train on.</summary>
    public int? Samples { get; init; }

    /// <summary>Calibration windows to measure on.</summary>
    public int? HeldOut { get; init; }

    /// <summary>Tokens per window.</summary>
    public int? SequenceLength { get; init; }

    /// <summary>Adam steps of tuning the whole model; 0 for none.</summary>
    public int? TuneSteps { get; init; }

    /// <summary>First learning rate of tuning.</summary>
    public double? TuneRate { get; init; }

    /// <summary>First learning rate of codes in tuning; 0 for codes that stay.</summary>
    public double? TuneCodeRate { get; init; }

    /// <summary>Windows per step of tuning.</summary>
    public int? TuneBatch { get; init; }

    /// <summary>Most calibration windows of tuning.</summary>
    public int? TuneSamples { get; init; }

    /// <summary>Whether there is a calibration source.</summary>
    public bool HasCalibration { get; init; }

    /// <summary>Whether losses and statistics take the tokens of assistants alone.</summary>
    public bool AssistantOnly { get; init; }

    /// <summary>
    /// Tokens of the calibration source where it comes with the model instead of from the user: values that were not asked for are cut to it, with a
    /// note. Null when the source is the user's.
    /// </summary>
    public long? BundledTokens { get; init; }

    /// <summary>
    /// Tokens of the user's calibration text where they are fewer than its windows need: numbers of windows that were not asked for are cut to it, with a
    /// note; those that were asked for are an error. Null where there are enough, or nobody counted.
    /// </summary>
    public long? CalibrationTokens { get; init; }
}
