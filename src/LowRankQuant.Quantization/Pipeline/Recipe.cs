using System.Text.Json.Serialization;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Quantization.Tuning;
using LowRankQuant.Quantization.Vocabulary;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>The methods of this version.</summary>
public enum QuantizationMethod
{
    /// <summary>Round to nearest.</summary>
    Rtn,

    /// <summary>Learned full-matrix scales (FlexRound).</summary>
    FlexRound,

    /// <summary>Learned low-rank scales (LRQ).</summary>
    Lrq,

    /// <summary>LRQ's released code: low rank or full by the size of each layer.</summary>
    LrqHybrid,

    /// <summary>FLRQ by the paper's rules: flexible rank by sketches, best low-rank term under clipping.</summary>
    Flrq,

    /// <summary>What goes beyond FLRQ: full covariance, compensated rounding, 8-bit factors, a budget for the whole model.</summary>
    FlrqPlus,

    /// <summary>Truncated SVD of the rounding error.</summary>
    Svd,

    /// <summary>LQER: the same, by its published name.</summary>
    Lqer,

    /// <summary>L2QER: the error scaled by mean input magnitudes.</summary>
    L2qer,

    /// <summary>QERA with the diagonal of the input covariance.</summary>
    QeraApprox,

    /// <summary>QERA with the full input covariance.</summary>
    QeraExact,
}

/// <summary>Everything that decides the bytes of a result, resolved: no value is left to a default. Saved with the run as recipe.json.</summary>
public sealed record Recipe
{
    /// <summary>How weights are rounded.</summary>
    public required QuantizationMethod Method { get; init; }

    /// <summary>The preset the values started from, for the record.</summary>
    public required string Preset { get; init; }

    /// <summary>Code width, 2 to 8.</summary>
    public required int Bits { get; init; }

    /// <summary>Weights per scale.</summary>
    public required Granularity Granularity { get; init; }

    /// <summary>Inputs per group; 0 unless the granularity is group.</summary>
    public required int GroupSize { get; init; }

    /// <summary>Symmetric grid.</summary>
    public required bool Symmetric { get; init; }

    /// <summary>How first grids are found.</summary>
    public required GridStart Start { get; init; }

    /// <summary>Stored type of scales.</summary>
    public required ScaleType ScaleType { get; init; }

    /// <summary>Name of the two-level grid, such as <c>Q3_K</c>, which bits, granularity, group size and symmetry then repeat; null for a uniform grid.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? TwoLevelGrid { get; init; }

    /// <summary>Significant bits of a stored scale; null for all that its type has.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? ScaleDigits { get; init; }

    /// <summary>Layers with a grid of their own, by name within the block; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, LayerGrid>? Layers { get; init; }

    /// <summary>The engine or container whose rules the grid obeys; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TargetRecipe? Target { get; init; }

    /// <summary>Rank of L2 U2; 0 for methods without.</summary>
    public required int Rank { get; init; }

    /// <summary>Adam steps per block.</summary>
    public required int Iterations { get; init; }

    /// <summary>First learning rate.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Windows per step.</summary>
    public required int Batch { get; init; }

    /// <summary>How the loss weighs tokens.</summary>
    public required LossWeighting Loss { get; init; }

    /// <summary>Whether the iterate that is best on held-out windows is kept.</summary>
    public required bool KeepBest { get; init; }

    /// <summary>
    /// How often a block starts again at a smaller rate when training made it no better; null for the usual number. 0 keeps the last iterate whatever it is.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Restarts { get; init; }

    /// <summary>Seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Calibration windows to train on.</summary>
    public required int Samples { get; init; }

    /// <summary>Calibration windows to measure on.</summary>
    public required int HeldOut { get; init; }

    /// <summary>Tokens per window.</summary>
    public required int SequenceLength { get; init; }

    /// <summary>Low-rank correction; null for methods without.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CorrectionRecipe? Correction { get; init; }

    /// <summary>Tuning of the whole model after its blocks; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TuningRecipe? Tuning { get; init; }

    /// <summary>Grids of embedding and output head; null where both stay floats.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VocabularyRecipe? Vocabulary { get; init; }

    /// <summary>The grid of every layer that <see cref="Layers"/> does not name.</summary>
    [JsonIgnore]
    public WeightGrid Grid => new LayerGrid(Bits, Granularity, GroupSize, Symmetric, TwoLevelGrid, ScaleDigits).ToGrid();

    /// <summary>Grids, start and stored scale type.</summary>
    [JsonIgnore]
    public Scheme Scheme => SchemeFrom(Start);

    /// <summary>The scheme with first grids found in another way; two-level grids are always searched for.</summary>
    /// <param name="start">How the first uniform grids are found.</param>
    public Scheme SchemeFrom(GridStart start)
    {
        return With(Grid, ScaleDigits) with
        {
            Layers = Layers?.ToDictionary(layer => layer.Key, layer => With(layer.Value.ToGrid(), layer.Value.ScaleDigits), StringComparer.Ordinal),
        };

        Scheme With(WeightGrid grid, int? digits) => new(grid, grid is UniformGrid ? start : GridStart.Search, ScaleType) { ScaleDigits = digits };
    }
}
