using LowRankQuant.Formats;

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
    /// <returns>Where its branches went as an adapter; null without.</returns>
    /// <exception cref="ExportException">It does not fit; every reason is told.</exception>
    /// <exception cref="OutputLockedException">Another process writes there.</exception>
    /// <exception cref="IOException">The disk is too small, or the output cannot be written; nothing is left behind.</exception>
    public static string? Run(IExporter exporter, ExportSource source, ExportOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        List<string> problems = [.. AdapterMisfits(exporter, source, options).Select(misfit => misfit.ToString()), .. exporter.FindProblems(source, options)];
        if (problems.Count > 0) throw new ExportException([.. problems.Select(problem => $"{exporter.Name}: {problem}")]);
        using OutputLock held = OutputLock.TakePlace(options.Output);
        if (held.TakenOver is not null) StagedFolder.RemoveLeftover(options.Output);
        if (source.Adapter is not null && options.Adapter is null && !exporter.MergesBranches) options = options with { Adapter = exporter.Adapters[0] };
        exporter.Write(source, options, progress, cancellation);
        return options.Adapter is null ? null : exporter.AdapterPath(options.Output);
    }

    private static IEnumerable<Misfit> AdapterMisfits(IExporter exporter, ExportSource source, ExportOptions options)
    {
        const string Item = "low-rank branches";
        if (source.Adapter is null)
        {
            if (options.Adapter is not null) yield return new Misfit(Item, "the model has none", "leave --adapter out");
            yield break;
        }
        if (options.Adapter is { } asked && !exporter.Adapters.Contains(asked))
            yield return new Misfit(
                Item, $"engines of {exporter.Name} do not load this kind of adapter",
                "choose another --adapter, or --to dense, which adds branches to the weights");
        else if (options.Adapter is null && exporter.Adapters.Count == 0 && !exporter.MergesBranches)
            yield return new Misfit(
                Item, $"engines of {exporter.Name} load no adapter that lrq writes", "export --to dense, which adds branches to the weights");
        if ((options.Adapter ?? (exporter.MergesBranches ? null : ExportAdapter.Peft)) is null) yield break;
        foreach (Misfit misfit in AdapterFolder.FindMisfits(source.Adapter, options)) yield return misfit;
    }
}
