using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>What the Hugging Face style containers share: every tensor that is not quantized in the type of the scales, side files, config.json last.</summary>
public abstract class FolderExporter : IExporter
{
    // Tokenizer, configuration.
    private const long SideBytes = 64L << 20;

    /// <inheritdoc/>
    public abstract string Name { get; }

    /// <inheritdoc/>
    public bool WritesFile => false;

    /// <inheritdoc/>
    public virtual IReadOnlyList<ExportAdapter> Adapters => [ExportAdapter.Peft, ExportAdapter.PeftPadded];

    /// <inheritdoc/>
    public bool MergesBranches => false;

    /// <summary>Strings of <c>__metadata__</c>; null for those of PyTorch.</summary>
    protected virtual IReadOnlyDictionary<string, string>? Metadata => null;

    /// <summary>Whether the container holds linears with float minima.</summary>
    protected virtual bool HoldsMinima => false;

    /// <summary>Whether the container keeps quantizers of activations and caches.</summary>
    protected virtual bool KeepsQuantizers => false;

    /// <inheritdoc/>
    public string AdapterPath(string output) => Path.Combine(output, CheckpointOpener.AdapterFolder);

    /// <inheritdoc/>
    public IReadOnlyList<string> FindProblems(ExportSource source, ExportOptions options)
    {
        List<Misfit> misfits = FindMisfits(source, options);
        return misfits.Count > 0 ? [.. misfits.Select(misfit => misfit.ToString())] : TensorCollisions.Find(source.Checkpoint.Location, Tensors(source, options));
    }

    /// <inheritdoc/>
    public virtual IReadOnlyList<string> FindWarnings(ExportSource source, ExportOptions options) => [];

    /// <inheritdoc/>
    public void Write(ExportSource source, ExportOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        SafetensorsType type = DenseType(source).ToSafetensors();
        List<PendingTensor> tensors = Tensors(source, options);
        int done = 0, total = tensors.Count;
        tensors = PendingTensor.ReferenceOrder(tensors.Select(tensor => tensor with
        {
            Write = sink =>
            {
                tensor.Write(sink);
                progress?.Invoke(++done, total);
            },
        }));
        long adapterBytes = source.Adapter is null ? 0 : AdapterFolder.Bytes(source, options, floats: false);
        using StagedFolder staged = StagedFolder.Create(options.Output, tensors.Sum(tensor => tensor.ByteLength) + adapterBytes + SideBytes);
        SafetensorsFolderWriter.Write(staged.Path, tensors, options.ShardSize, Metadata, cancellationToken: cancellation);
        source.Checkpoint.CopySideFiles(staged.Path);
        if (source.Adapter is not null) AdapterFolder.Write(source, staged.Path, options, floats: false);
        JsonObject config = ModelConfigFile.For(source.Checkpoint, type);
        WriteConfig(source, options, config, staged.Path);
        ModelConfigFile.Write(Path.Combine(staged.Path, ModelConfigFile.Name), config);
        staged.Commit();
    }

    /// <summary>Type of the scales in the container, and of every tensor that is not quantized: loaders cast all to one type.</summary>
    protected abstract ScaleType DenseType(ExportSource source);

    /// <summary>Misfits of the linears taken together.</summary>
    protected abstract IEnumerable<Misfit> ModelMisfits(ExportSource source, ExportOptions options);

    /// <summary>Misfits of one linear.</summary>
    protected abstract IEnumerable<Misfit> LinearMisfits(ExportLinear linear, UniformWeight weight, ExportOptions options);

    /// <summary>Tensors of one linear.</summary>
    protected abstract IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportLinear linear, ExportOptions options);

    /// <summary>Misfits of one linear with float minima, where the container holds such.</summary>
    protected virtual IEnumerable<Misfit> LinearMisfits(ExportAffine linear) => [];

    /// <summary>Tensors of one linear with float minima, where the container holds such.</summary>
    protected virtual IEnumerable<PendingTensor> LinearTensors(ExportSource source, ExportAffine linear) => [];

    /// <summary>Adds what the container says in config.json, and writes whatever other files it has.</summary>
    protected abstract void WriteConfig(ExportSource source, ExportOptions options, JsonObject config, string folder);

    /// <summary>The linears of the blocks that stay in floats, and every other matrix beside the head that does, under the names that the folder has them by.</summary>
    private protected static IReadOnlyList<string> DenseModules(ExportSource source)
    {
        List<string> dense = [.. DenseLinears(source)];
        HashSet<string> known = [.. source.Linears.Select(linear => linear.Module), .. source.DenseLinears, .. source.OffGrid, .. source.TwoLevel, .. source.Affine.Select(linear => linear.Module), source.Head];
        dense.AddRange(source.Checkpoint.OtherMatrices(known.Contains));
        return dense;
    }

    /// <summary>The linears of the blocks that stay in floats: what is stored together is one module where all of it is floats, and else each part by itself.</summary>
    private protected static IEnumerable<string> DenseLinears(ExportSource source)
    {
        HashSet<string> floats = [.. source.DenseLinears];
        return source.DenseLinears.Select(module => source.Checkpoint.WrittenName(
            source.Form.FusedOf(module) is { } fused && fused.Parts.All(part => floats.Contains(part.Module)) ? fused.Name : module)).Distinct(StringComparer.Ordinal);
    }

    /// <summary>A misfit of scales that have more digits than the container's type.</summary>
    private protected static Misfit ScaleMisfit(ExportLinear linear, ScaleType type) => new(
        linear.Module, $"{linear.ScaleType} scales are no {type} values", $"quantize again with `scale_dtype` {(type == ScaleType.Float16 ? "fp16" : "bf16")}");

    /// <summary>A misfit of an embedding in codes, which most loaders look up as floats.</summary>
    private protected static IEnumerable<Misfit> TableMisfits(ExportSource source, string loaders) => source.Table is not { } table ? [] :
    [
        new Misfit(
            table.Module, $"the embedding is quantized{(source.Checkpoint.Config.TiedEmbeddings ? ", and is the output head too" : "")}, and {loaders} look it up as floats",
            "export `to` compressed-tensors, mlx, gguf or dense, or quantize with `embedding` off"),
    ];

    /// <summary>A misfit of columns in another order than their groups.</summary>
    private protected static Misfit OrderMisfit(ExportLinear linear) =>
        new(linear.Module, "its columns have an activation order (g_idx), which only gptq holds", "export `to` gptq or dense");

    private List<PendingTensor> Tensors(ExportSource source, ExportOptions options)
    {
        SafetensorsType type = DenseType(source).ToSafetensors();
        List<PendingTensor> tensors =
        [
            .. source.StoredLinears.SelectMany(linear => LinearTensors(source, linear, options)),
            .. HoldsMinima ? source.StoredAffine.SelectMany(linear => LinearTensors(source, linear)) : [],
            .. source.Form.Tensors(source.OtherTensors, type, name => source.Checkpoint.Store(name, source.Checkpoint.OwnTypeOf(name) ?? type)),
            .. KeepsQuantizers && !options.WeightsOnly ? source.Checkpoint.Quantizers?.Tensors ?? [] : [],
        ];
        tensors = [.. tensors.Select(source.Checkpoint.Named), .. source.Checkpoint.Carried];
        return tensors;
    }

    private List<Misfit> FindMisfits(ExportSource source, ExportOptions options)
    {
        List<Misfit> misfits = [];
        if (source.Checkpoint.Quantizers is { } quantizers && !KeepsQuantizers && !options.WeightsOnly)
        {
            misfits.Add(new Misfit(
                source.Checkpoint.Location, $"{Name} has no place for {quantizers.Description}",
                "give `weights_only` to leave that behind, or export `to` compressed-tensors"));
        }
        misfits.AddRange(source.OffGrid.Select(module => new Misfit(module, "it lies on no uniform grid with integer zero points", "export `to` dense")));
        misfits.AddRange(source.TwoLevel.Select(module =>
            new Misfit(module, "its grid has two levels of scales, which only gguf holds", "export `to` gguf or dense")));
        if (!HoldsMinima)
            misfits.AddRange(source.Affine.Select(linear => new Misfit(linear.Module, $"{linear.Grid} stores a float minimum per group, which only mlx and gguf hold", "export `to` mlx, gguf or dense, or quantize again with `zeros` integer")));
        if (source.StoredLinears.Count == 0 && (!HoldsMinima || source.StoredAffine.Count == 0))
        {
            if (misfits.Count == 0)
                misfits.Add(new Misfit(source.Checkpoint.Location, "no linear is stored on an integer grid", "quantize it first, or export `to` dense"));
            return misfits;
        }
        misfits.AddRange(ModelMisfits(source, options));
        foreach (ExportLinear linear in source.StoredLinears)
        {
            OrderedWeight weight = source.Load(linear);
            misfits.AddRange(LinearMisfits(linear, weight.Weight, options));
        }
        if (HoldsMinima) misfits.AddRange(source.StoredAffine.SelectMany(LinearMisfits));
        return misfits;
    }
}
