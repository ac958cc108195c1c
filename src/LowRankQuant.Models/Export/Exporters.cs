using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Export;

/// <summary>The containers that models can be exported to.</summary>
public static class Exporters
{
    /// <summary>All of them, in the order of the help text.</summary>
    public static IReadOnlyList<IExporter> All { get; } =
        [new GgufModelExporter(), new GptqExporter(), new AwqExporter(), new CompressedTensorsExporter(), new MlxExporter(), new DenseFolderExporter()];

    /// <summary>The exporter of a name; null when there is none.</summary>
    public static IExporter? Find(string name) => All.FirstOrDefault(exporter => exporter.Name == name);

    /// <summary>Checks a model against a container and writes it.</summary>
    /// <param name="exporter">The container.</param>
    /// <param name="source">The model.</param>
    /// <param name="options">What is asked for.</param>
    /// <param name="progress">Told how many tensors are written, of how many.</param>
    /// <param name="cancellation">Ends the work; nothing is left behind.</param>
    /// <param name="warn">Told what the user of the output should know, before anything is written.</param>
    /// <returns>The adapter that holds its branches; null without.</returns>
    /// <exception cref="ExportException">It does not fit; every reason is told.</exception>
    /// <exception cref="OutputLockedException">Another process writes there.</exception>
    /// <exception cref="IOException">The disk is too small, or the output cannot be written; nothing is left behind.</exception>
    public static ExportedAdapter? Run(
        IExporter exporter, ExportSource source, ExportOptions options, Action<int, int>? progress, CancellationToken cancellation, Action<string>? warn = null)
    {
        List<string> problems = [.. AdapterMisfits(exporter, source, options).Select(misfit => misfit.ToString()), .. exporter.FindProblems(source, options)];
        if (!exporter.WritesFile && source.Checkpoint.Config.Rope.Scaling == RopeScaling.Table) problems.Add(GgufRope.NoFolderForm(source.Checkpoint.Location));
        if (problems.Count > 0) throw new ExportException([.. problems.Select(problem => $"{exporter.Name}: {problem}")]);
        using OutputLock held = OutputLock.TakePlace(options.Output);
        if (held.TakenOver is not null) StagedFolder.RemoveLeftover(options.Output);
        if (source.Adapter is not null && options.Adapter is null && !exporter.MergesBranches) options = options with { Adapter = exporter.Adapters[0] };
        foreach (string warning in exporter.FindWarnings(source, options)) warn?.Invoke(warning);
        exporter.Write(source, options, progress, cancellation);
        return options.Adapter is null ? null : ExportedAdapter.Read(exporter.AdapterPath(options.Output), source);
    }

    private static IEnumerable<Misfit> AdapterMisfits(IExporter exporter, ExportSource source, ExportOptions options)
    {
        const string Item = "low-rank branches";
        if (source.Adapter is null)
        {
            if (options.Adapter is not null) yield return new Misfit(Item, "the model has none", "leave `adapter` out");
            if (options.AdapterType is not null) yield return new Misfit(Item, "the model has none", "leave `adapter_dtype` out");
            yield break;
        }
        if (options.Adapter is { } asked && !exporter.Adapters.Contains(asked))
            yield return new Misfit(
                Item, $"engines of {exporter.Name} do not load this kind of adapter",
                "choose another `adapter`, or `to` dense, which adds branches to the weights");
        else if (options.Adapter is null && exporter.Adapters.Count == 0 && !exporter.MergesBranches)
            yield return new Misfit(
                Item, $"engines of {exporter.Name} load no adapter that lrq writes", "export `to` dense, which adds branches to the weights");
        if (options is { AdapterType: not null, Adapter: null } && exporter.MergesBranches)
            yield return new Misfit(
                Item, $"{exporter.Name} adds them to the weights, so that no adapter has a type", "name the adapter by `adapter`, or leave `adapter_dtype` out");
        if (options.AdapterType is { } type && exporter.Adapters is [var first, ..] && !Holds(options.Adapter ?? first, type))
            yield return new Misfit(
                Item, first == ExportAdapter.GgufLora ? "a GGUF LoRA file holds fp32, fp16 or q8_0" : "a PEFT folder holds fp32, fp16 or bf16",
                "choose another `adapter_dtype`");
        if ((options.Adapter ?? (exporter.MergesBranches ? null : ExportAdapter.Peft)) is null) yield break;
        foreach (Misfit misfit in AdapterFolder.FindMisfits(source, options, exporter.MergesBranches)) yield return misfit;
    }

    private static bool Holds(ExportAdapter adapter, AdapterType type) =>
        adapter == ExportAdapter.GgufLora ? type != AdapterType.BFloat16 : type != AdapterType.Blocks8;
}
