using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>A model as exporters see it: quantized linears by codes, the rest as floats, and the adapter by itself.</summary>
public sealed class ExportSource
{
    private const string Weight = ".weight";
    private readonly Lazy<Parts> _parts;
    private readonly Lazy<IReadOnlyList<ExportLinear>> _stored;
    private readonly Lazy<IReadOnlyList<ExportAffine>> _storedAffine;
    private readonly Lazy<FolderForm> _form;

    /// <summary>Looks at a model.</summary>
    /// <param name="checkpoint">The model; stays the caller's.</param>
    public ExportSource(ICheckpoint checkpoint)
    {
        Whole = checkpoint;
        (Checkpoint, Adapter) = checkpoint is AdaptedCheckpoint adapted ? (adapted.Base, adapted.Adapter) : (checkpoint, null);
        _parts = new Lazy<Parts>(Divide);
        _stored = new Lazy<IReadOnlyList<ExportLinear>>(Joined);
        _storedAffine = new Lazy<IReadOnlyList<ExportAffine>>(JoinedAffine);
        _form = new Lazy<FolderForm>(() => FolderForm.Of(Checkpoint));
    }

    /// <summary>The model with its adapter.</summary>
    public ICheckpoint Whole { get; }

    /// <summary>The model without its adapter.</summary>
    public ICheckpoint Checkpoint { get; }

    /// <summary>Its low-rank branches, or null.</summary>
    public ILowRankAdapter? Adapter { get; }

    /// <summary>
    /// Quantized linears in model order, then the output head and the embedding where they are quantized; an embedding only of folders of compressed-tensors and of
    /// two-level grids: what GGUF and MLX look up in codes is floats elsewhere. Reads every one of them once.
    /// </summary>
    /// <exception cref="CheckpointException">A linear has another shape than the configuration asks for.</exception>
    public IReadOnlyList<ExportLinear> Linears => _parts.Value.Linears;

    /// <summary>
    /// Quantized linears as folders of the family hold them: those that are stored together are one where their codes fit into one weight. The output head too where it
    /// is quantized.
    /// </summary>
    public IReadOnlyList<ExportLinear> StoredLinears => _stored.Value;

    /// <summary>How folders of the family hold the model.</summary>
    public FolderForm Form => _form.Value;

    /// <summary>Linears of the blocks that are kept as floats.</summary>
    public IReadOnlyList<string> DenseLinears => _parts.Value.Dense;

    /// <summary>Linears that are stored in few bits on a grid with neither integer zero points nor float minima, so that no container can take them over.</summary>
    public IReadOnlyList<string> OffGrid => _parts.Value.OffGrid;

    /// <summary>Linears on two-level grids, which GGUF's blocks alone hold.</summary>
    public IReadOnlyList<string> TwoLevel => _parts.Value.TwoLevel;

    /// <summary>Linears with float minima, which MLX and some of GGUF's blocks hold, in model order.</summary>
    public IReadOnlyList<ExportAffine> Affine => _parts.Value.Affine;

    /// <summary>The same as folders of the family hold them: those that are stored together are one where they lie on one grid.</summary>
    public IReadOnlyList<ExportAffine> StoredAffine => _storedAffine.Value;

    /// <summary>Whether the output head is quantized.</summary>
    public bool HeadIsQuantized => Linears.Any(linear => linear.Module + Weight == Family.HeadName);

    /// <summary>The quantized embedding; null where it is floats, or is to be.</summary>
    public ExportLinear? Table => Linears.FirstOrDefault(linear => linear.IsTable);

    /// <summary>Module name of the output head.</summary>
    public string Head => Family.HeadName[..^Weight.Length];

    /// <summary>Tensors of the model that are no quantized linear.</summary>
    public IEnumerable<string> OtherTensors
    {
        get
        {
            HashSet<string> quantized = [.. Linears.Select(linear => linear.Module + Weight), .. Affine.Select(linear => linear.Module + Weight)];
            return Checkpoint.TensorNames.Where(name => !quantized.Contains(name));
        }
    }

    private Architecture Family => Checkpoint.Architecture;

    /// <summary>Codes, scales and zero points of a linear, also of one that is several.</summary>
    public OrderedWeight Load(ExportLinear linear)
    {
        if (linear.Parts is null)
        {
            return Checkpoint.ReadOrdered(linear.Module + Weight)
                ?? throw new InvalidOperationException($"'{linear.Module}' was on a grid and is not any more.");
        }
        OrderedWeight[] parts = [.. linear.Parts.Parts.Select(part => Checkpoint.ReadOrdered(part.Module + Weight)!)];
        return new OrderedWeight((UniformWeight)linear.Parts.Join([.. parts.Select(part => part.Weight)])!, parts[0].Columns);
    }

    /// <summary>Codes, scales and minima of a linear, also of one that is several.</summary>
    public AffineWeight Load(ExportAffine linear)
    {
        AffineWeight Read(string module) => Checkpoint.ReadQuantized(module + Weight) as AffineWeight ?? throw new InvalidOperationException($"'{module}' had float minima and has none any more.");
        return linear.Parts is null ? Read(linear.Module) : (AffineWeight)linear.Parts.Join([.. linear.Parts.Parts.Select(part => Read(part.Module))])!;
    }

    private List<ExportLinear> Joined()
    {
        var linears = new List<ExportLinear>();
        Dictionary<string, ExportLinear> known = Linears.ToDictionary(linear => linear.Module, StringComparer.Ordinal);
        var done = new HashSet<string>(StringComparer.Ordinal);
        foreach (ExportLinear linear in Linears)
        {
            if (done.Contains(linear.Module)) continue;
            if (Form.FusedOf(linear.Module) is not { } module || !Fits(module))
            {
                linears.Add(linear);
                continue;
            }
            done.UnionWith(module.Parts.Select(part => part.Module));
            linears.Add(linear with { Module = module.Name, OutFeatures = module.OutFeatures, InFeatures = module.InFeatures, Parts = module });
        }
        return linears;

        // One grid, one type of scales, one order of columns.
        bool Fits(FusedModule module)
        {
            ExportLinear[] parts = [.. module.Parts.Select(part => known.GetValueOrDefault(part.Module)).OfType<ExportLinear>()];
            if (parts.Length < module.Parts.Count || parts[0].Grid.Granularity == Granularity.Tensor) return false;
            if (parts.Any(part => part.Grid != parts[0].Grid || part.ScaleType != parts[0].ScaleType || part.Ordered != parts[0].Ordered)) return false;
            return !parts[0].Ordered || parts.Select(part => Load(part).Columns!).Distinct(new Orders()).Count() == 1;
        }
    }

    private List<ExportAffine> JoinedAffine()
    {
        var linears = new List<ExportAffine>();
        Dictionary<string, ExportAffine> known = Affine.ToDictionary(linear => linear.Module, StringComparer.Ordinal);
        var done = new HashSet<string>(StringComparer.Ordinal);
        foreach (ExportAffine linear in Affine.Where(linear => !done.Contains(linear.Module)))
        {
            bool IsAlike((string Module, StoredView View) part) => known.GetValueOrDefault(part.Module) is { } twin && twin.Grid == linear.Grid && twin.ScaleType == linear.ScaleType;
            if (Form.FusedOf(linear.Module) is not { } module || !module.Parts.All(IsAlike))
            {
                linears.Add(linear);
                continue;
            }
            done.UnionWith(module.Parts.Select(part => part.Module));
            linears.Add(linear with { Module = module.Name, OutFeatures = module.OutFeatures, InFeatures = module.InFeatures, Parts = module });
        }
        return linears;
    }

    private sealed class Orders : IEqualityComparer<int[]>
    {
        public bool Equals(int[]? x, int[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(int[] obj) => obj.Length;
    }

    private Parts Divide()
    {
        var linears = new List<ExportLinear>();
        var affine = new List<ExportAffine>();
        List<string> dense = [], offGrid = [], twoLevel = [];
        const int PlainFloatBits = 16;
        foreach ((string module, int outFeatures, int inFeatures, bool keptByDefault) in Modules())
        {
            string name = module + Weight;
            if (!Checkpoint.Contains(name)) continue;
            Checkpoint.CheckShape(name, outFeatures, inFeatures);
            if (Checkpoint.ReadOrdered(name) is { } ordered)
            {
                linears.Add(new ExportLinear(
                    module, ordered.Weight.OutFeatures, ordered.Weight.InFeatures, ordered.Weight.Grid, ordered.Weight.ScaleType, ordered.Columns is not null)
                {
                    IsTable = name == Family.EmbeddingName,
                });
                continue;
            }
            bool isAround = name == Family.HeadName || name == Family.EmbeddingName;
            QuantizedWeight? other = !isAround || IsOurs ? Checkpoint.ReadQuantized(name) : null;
            if (other is TwoLevelWeight) twoLevel.Add(module);
            else if (other is AffineWeight minima) affine.Add(new ExportAffine(module, minima.OutFeatures, minima.InFeatures, minima.Grid, minima.ScaleType));
            if (other is TwoLevelWeight or AffineWeight) continue;
            if (isAround || keptByDefault) continue;
            long count = Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size);
            (Checkpoint.StoredBitsOf(name) < PlainFloatBits * count ? offGrid : dense).Add(module);
        }
        return new Parts(linears, affine, dense, offGrid, twoLevel);
    }

    // Routers and other small gates are among the linears where they are codes; else they are floats like norms.
    private IEnumerable<(string Module, int OutFeatures, int InFeatures, bool KeptByDefault)> Modules()
    {
        foreach (LinearShape linear in Checkpoint.Layout.Modules.Concat(Checkpoint.Layout.KeptModules)) yield return (linear.Name, linear.OutFeatures, linear.InFeatures, linear.KeptByDefault);
        int rows = Checkpoint.Config.VocabularySize, columns = Family.EmbeddingWidth ?? Checkpoint.Config.HiddenSize;
        yield return (Head, rows, columns, false);
        if (IsOurs) yield return (Family.EmbeddingName[..^Weight.Length], rows, columns, false);
    }

    // The containers in which runs store an embedding as codes.
    private bool IsOurs => Checkpoint is HuggingFaceCheckpoint { Container: CompressedTensorsContainer or TwoLevelContainer or AffineContainer };

    private sealed record Parts(
        IReadOnlyList<ExportLinear> Linears, IReadOnlyList<ExportAffine> Affine, IReadOnlyList<string> Dense, IReadOnlyList<string> OffGrid, IReadOnlyList<string> TwoLevel);
}
