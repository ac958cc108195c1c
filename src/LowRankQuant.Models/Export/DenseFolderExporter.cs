using LowRankQuant.Models.Checkpoints;

namespace LowRankQuant.Models.Export;

/// <summary>Plain floats: every weight dequantized, branches added unless they are asked for as an adapter.</summary>
public sealed class DenseFolderExporter : IExporter
{
    /// <inheritdoc/>
    public string Name => "dense";

    /// <inheritdoc/>
    public bool WritesFile => false;

    /// <inheritdoc/>
    public IReadOnlyList<ExportAdapter> Adapters => [ExportAdapter.Peft, ExportAdapter.PeftPadded];

    /// <inheritdoc/>
    public bool MergesBranches => true;

    /// <inheritdoc/>
    public string AdapterPath(string output) => Path.Combine(output, CheckpointOpener.AdapterFolder);

    /// <inheritdoc/>
    public IReadOnlyList<string> FindProblems(ExportSource source, ExportOptions options)
    {
        if (source.Checkpoint.Quantizers is not { } quantizers || options.WeightsOnly)
            return TensorCollisions.Find(source.Checkpoint.Location, DenseExporter.Tensors(source.Checkpoint, options.DenseType));
        const string Remedy = "give `weights_only` to leave that behind";
        return [new Misfit(source.Checkpoint.Location, $"plain floats have no place for {quantizers.Description}", Remedy).ToString()];
    }

    /// <inheritdoc/>
    public void Write(ExportSource source, ExportOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        ICheckpoint model = options.Adapter is null ? source.Whole : source.Checkpoint;
        long bytes = DenseExporter.Tensors(model, options.DenseType).Sum(tensor => tensor.ByteLength) + (options.Adapter is null ? 0 : AdapterFolder.Bytes(source, options, floats: true));
        using StagedFolder staged = StagedFolder.Create(options.Output, bytes);
        DenseExporter.Write(model, staged.Path, options.DenseType, options.ShardSize, progress, cancellation);
        if (options.Adapter is not null) AdapterFolder.Write(source, staged.Path, options, floats: true);
        staged.Commit();
    }
}
