using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>
/// Everything that decides the bytes of a result, resolved: no value is left to a default. Saved with the run as recipe.json (<c>Files/RecipeFile</c>), from which
/// the run can be made again.
/// </summary>
public sealed record Recipe
{
    /// <summary>How weights are rounded, with the method's own values.</summary>
    public required MethodSettings Method { get; init; }

    /// <summary>The preset the values started from.</summary>
    public required string Preset { get; init; }

    /// <summary>Code width, 2 to 8.</summary>
    public required int Bits { get; init; }

    /// <summary>Weights per scale.</summary>
    public required Granularity Granularity { get; init; }

    /// <summary>Inputs per group; 0 unless the granularity is group.</summary>
    public required int GroupSize { get; init; }

    /// <summary>Symmetric grid.</summary>
    public required bool Symmetric { get; init; }

    /// <summary>Stored type of scales.</summary>
    public required ScaleType ScaleType { get; init; }

    /// <summary>Name of a two-level or float grid, such as <c>Q3_K</c>, or the spelling of one with float minima, <c>4:64:affine</c>, which bits, granularity, group size and symmetry then repeat; null for a uniform grid.</summary>
    public string? NamedGrid { get; init; }

    /// <summary>Significant bits of a stored scale; null for all that its type has.</summary>
    public int? ScaleDigits { get; init; }

    /// <summary>Layers with a grid of their own, by name within the block; null for none.</summary>
    public IReadOnlyDictionary<string, LayerGrid>? Layers { get; init; }

    /// <summary>Which linears are quantized and which stay in their own type, where that is not as the family has it; null where it is.</summary>
    public LinearSelection? Selection { get; init; }

    /// <summary>The engine or container whose rules the grid obeys; null for none.</summary>
    public TargetRecipe? Target { get; init; }

    /// <summary>How inputs of linears are quantized; null for floats.</summary>
    public ActivationRecipe? Activations { get; init; }

    /// <summary>How keys and values are quantized; null for floats.</summary>
    public CacheRecipe? Cache { get; init; }

    /// <summary>What is done to blocks before the method sees them, in order.</summary>
    public IReadOnlyList<TransformSettings> Transforms { get; init; } = [];

    /// <summary>Activations, caches and transforms in words; empty where the weights alone are quantized.</summary>
    public string DescribeQuantizers() =>
        string.Join("; ", new[] { Activations?.ToString(), Cache?.ToString() }.OfType<string>().Concat(Transforms.Select(transform => transform.Describe())));

    /// <summary>What products of linears are rounded to while blocks are run and learned. What is stored and measured is computed in floats.</summary>
    public Precision Precision { get; init; }

    /// <summary>Seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Calibration windows to train on.</summary>
    public required int Samples { get; init; }

    /// <summary>Calibration windows to measure on.</summary>
    public required int HeldOut { get; init; }

    /// <summary>Tokens per window.</summary>
    public required int SequenceLength { get; init; }

    /// <summary>Tuning of the whole model after its blocks; null for none.</summary>
    public TuningRecipe? Tuning { get; init; }

    /// <summary>Grids of embedding and output head; null where both stay floats.</summary>
    public VocabularyRecipe? Vocabulary { get; init; }

    /// <summary>Blocks that are quantized in a way of their own; each block is named once at most.</summary>
    public IReadOnlyList<BlockRecipe> Blocks { get; init; } = [];

    /// <summary>All methods of the run, that of most blocks first.</summary>
    public IEnumerable<MethodSettings> Methods => Blocks.Select(own => own.Method).Prepend(Method);

    /// <summary>The method of a block.</summary>
    public MethodSettings MethodOf(int block) => OwnOf(block)?.Method ?? Method;

    /// <summary>What is done to a block before its weights are rounded, in order: the run's transforms, then what its method does itself.</summary>
    public IReadOnlyList<TransformSettings> TransformsOf(int block) => MethodOf(block).Transform is { } own ? [.. Transforms, own] : Transforms;

    /// <summary>The seed of a block.</summary>
    public ulong SeedOf(int block) => OwnOf(block)?.Seed ?? Seed;

    /// <summary>The scheme with first grids as the method of a block finds them.</summary>
    public Scheme SchemeOf(int block) => SchemeFrom(MethodOf(block).Start);

    /// <summary>Whether a layer may get a low-rank branch.</summary>
    public bool MayHaveBranches => Methods.Any(method => method.MayHaveBranches);

    /// <summary>Bits of an element of a branch's factors.</summary>
    public int FactorBits => (Methods.FirstOrDefault(method => method.MayHaveBranches) ?? Method).FactorBits;

    /// <summary>Whether a run looks at calibration text at all.</summary>
    public bool LooksAtText => Methods.Any(method => method.LooksAtInputs) || FindsRanges || Transforms.Any(transform => transform.NeedsInputs);

    /// <summary>Whether steps of activations, keys or values are static, so that every block's calibration windows are looked at for their ranges.</summary>
    public bool FindsRanges => Activations?.Grid.IsDynamic == false || Cache?.Grid.IsDynamic == false;

    /// <summary>Windows that pass a block together.</summary>
    public int Batch => Method.Training?.Batch ?? 1;

    /// <summary>How the losses of reports weigh tokens.</summary>
    public LossWeighting Loss => Method.Training?.Loss ?? LossWeighting.Plain;

    /// <summary>The grid of every layer that <see cref="Layers"/> does not name.</summary>
    public WeightGrid Grid => new LayerGrid(Bits, Granularity, GroupSize, Symmetric, NamedGrid, ScaleDigits).ToGrid();

    /// <summary>Grids, start and stored scale type.</summary>
    public Scheme Scheme => SchemeFrom(Method.Start);

    /// <summary>The scheme with first grids found in another way; two-level grids are always searched for.</summary>
    /// <param name="start">How the first uniform grids are found.</param>
    public Scheme SchemeFrom(GridStart start)
    {
        return With(Grid, ScaleDigits) with
        {
            Layers = Layers?.ToDictionary(layer => layer.Key, layer => With(layer.Value.ToGrid(), layer.Value.ScaleDigits), StringComparer.Ordinal),
        };

        Scheme With(WeightGrid grid, int? digits) => new(grid, grid is TwoLevelGrid ? GridStart.Search : start, ScaleType) { ScaleDigits = digits };
    }

    private BlockRecipe? OwnOf(int block) => Blocks.FirstOrDefault(own => own.Blocks.Contains(block));
}
