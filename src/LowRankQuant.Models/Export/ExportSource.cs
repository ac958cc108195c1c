using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>A model as exporters see it: quantized linears by codes, the rest as floats, and the adapter by itself.</summary>
public sealed class ExportSource
{
    private const string Weight = ".weight";
    private readonly Lazy<Parts> _parts;

    /// <summary>Looks at a model.</summary>
    /// <param name="checkpoint">The model; stays the caller's.</param>
    public ExportSource(ICheckpoint checkpoint)
    {
        Whole = checkpoint;
        (Checkpoint, Adapter) = checkpoint is AdaptedCheckpoint adapted ? (adapted.Base, adapted.Adapter) : (checkpoint, null);
        _parts = new Lazy<Parts>(Divide);
    }

    /// <summary>The model with its adapter.</summary>
    public ICheckpoint Whole { get; }

    /// <summary>The model without its adapter.</summary>
    public ICheckpoint Checkpoint { get; }

    /// <summary>Its low-rank branches, or null.</summary>
    public ILowRankAdapter? Adapter { get; }

    /// <summary>Quantized linears in model order; the output head too where it is quantized. Reads every one of them once.</summary>
    /// <exception cref="CheckpointException">A linear has another shape than the configuration asks for.</exception>
    public IReadOnlyList<ExportLinear> Linears => _parts.Value.Linears;

    /// <summary>Linears of the blocks that are kept as floats.</summary>
    public IReadOnlyList<string> DenseLinears => _parts.Value.Dense;

    /// <summary>Linears that are stored in few bits on a grid without integer zero points, so that no container can take them over.</summary>
    public IReadOnlyList<string> OffGrid => _parts.Value.OffGrid;

    /// <summary>Linears on two-level grids, which GGUF's blocks alone hold.</summary>
    public IReadOnlyList<string> TwoLevel => _parts.Value.TwoLevel;

    /// <summary>Whether the output head is quantized.</summary>
    public bool HeadIsQuantized => Linears.Any(linear => linear.Module + Weight == Family.HeadName);

    /// <summary>Module name of the output head.</summary>
    public string Head => Family.HeadName[..^Weight.Length];

    /// <summary>Tensors of the model that are no quantized linear.</summary>
    public IEnumerable<string> OtherTensors
    {
        get
        {
            HashSet<string> quantized = [.. Linears.Select(linear => linear.Module + Weight)];
            return Checkpoint.TensorNames.Where(name => !quantized.Contains(name));
        }
    }

    private Architecture Family => Checkpoint.Architecture;

    /// <summary>Codes, scales and zero points of a linear.</summary>
    public OrderedWeight Load(ExportLinear linear) => Checkpoint.ReadOrdered(linear.Module + Weight)
        ?? throw new InvalidOperationException($"'{linear.Module}' was on a grid and is not any more.");

    private Parts Divide()
    {
        var linears = new List<ExportLinear>();
        List<string> dense = [], offGrid = [], twoLevel = [];
        const int PlainFloatBits = 16;
        foreach ((string module, int outFeatures, int inFeatures) in Modules())
        {
            string name = module + Weight;
            if (!Checkpoint.Contains(name)) continue;
            Checkpoint.CheckShape(name, outFeatures, inFeatures);
            if (Checkpoint.ReadOrdered(name) is { } ordered)
            {
                linears.Add(new ExportLinear(
                    module, ordered.Weight.OutFeatures, ordered.Weight.InFeatures, ordered.Weight.Grid, ordered.Weight.ScaleType, ordered.Columns is not null));
                continue;
            }
            if (name == Family.HeadName) continue;
            if (Checkpoint.ReadQuantized(name) is TwoLevelWeight)
            {
                twoLevel.Add(module);
                continue;
            }
            long count = Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size);
            (Checkpoint.StoredBitsOf(name) < PlainFloatBits * count ? offGrid : dense).Add(module);
        }
        return new Parts(linears, dense, offGrid, twoLevel);
    }

    private IEnumerable<(string Module, int OutFeatures, int InFeatures)> Modules()
    {
        foreach ((string name, int outFeatures, int inFeatures) in Checkpoint.Layout.Modules) yield return (name, outFeatures, inFeatures);
        yield return (Head, Checkpoint.Config.VocabularySize, Family.EmbeddingWidth ?? Checkpoint.Config.HiddenSize);
    }

    private sealed record Parts(
        IReadOnlyList<ExportLinear> Linears, IReadOnlyList<string> Dense, IReadOnlyList<string> OffGrid, IReadOnlyList<string> TwoLevel);
}
