using System.CommandLine;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export;

namespace LowRankQuant.Cli.Commands;

/// <summary>What <c>lrq export</c> and <c>lrq convert</c> share: one model in, one container out.</summary>
internal sealed class ExportRun(Terminal terminal, HubFiles hub, ExportOptionSet set)
{
    public int Run(ParseResult parsed, string source, CancellationToken cancellation)
    {
        var reader = new OptionReader(parsed);
        bool json = reader.Flag(set.Json);
        (IExporter exporter, ExportOptions options) = set.Read(reader, source == ModelPath.Demo ? ModelPath.DemoFolder : source);
        RequestException.ThrowIfAny(reader.Problems);
        ModelPath path = hub.Model(source, cancellation);
        using ICheckpoint model = CheckpointOpener.Open(path.Path);
        var plan = new ExportSource(model);
        ExportedAdapter? adapter;
        var warnings = new List<string>();
        using (RunNarrator narrator = RunDisplay.Create(terminal, json))
        {
            foreach (string warning in model.Warnings) Warn(warning);
            narrator.Stage($"writing {model.Location} as {exporter.Name}");
            adapter = Exporters.Run(exporter, plan, options, (done, total) => narrator.Progress(done, total), cancellation, Warn);

            void Warn(string warning)
            {
                warnings.Add(OptionText.Of(warning));
                narrator.Warn(warning);
            }
        }
        long bytes = Size(options.Output);
        string branches = adapter is null ? "" : FormattableString.Invariant($"; its low-rank branches to {adapter.Path}, {adapter.Bytes:N0} bytes of factors");
        if (adapter?.Bytes != adapter?.CountedBytes) branches += FormattableString.Invariant($" where lrq stores {adapter!.CountedBytes:N0}");
        (json ? terminal.Error : terminal.Out).WriteLine(
            $"{model.Location} ({model.Kind}) written to {options.Output} as {exporter.Name}, {Format.Bytes(bytes)}{branches}.");
        if (AdapterHint.Of(options.Output) is { } hint) (json ? terminal.Error : terminal.Out).WriteLine(hint);
        if (adapter?.IsRounded == true)
        {
            warnings.Add($"{adapter.Path}: the branches are rounded to the type asked for; the model keeps their values.");
            terminal.Error.WriteLine($"warning: {warnings[^1]}");
        }
        if (!json) return ExitCodes.Success;
        var result = new JsonObject
        {
            ["source"] = model.Location,
            ["output"] = options.Output,
            ["format"] = exporter.Name,
            ["tensors"] = model.TensorNames.Count,
            ["bytes"] = bytes,
            ["adapter"] = adapter?.Path,
            ["warnings"] = new JsonArray([.. warnings.Select(warning => (JsonNode)warning)]),
        };
        if (adapter is not null)
        {
            result["adapterBytes"] = adapter.Bytes;
            result["adapterCountedBytes"] = adapter.CountedBytes;
            result["adapterRounded"] = adapter.IsRounded;
        }
        if (exporter is DenseFolderExporter) result["dtype"] = options.DenseType.HeaderName();
        else result["quantizedLinears"] = plan.Linears.Count;
        terminal.Out.WriteLine(result.ToJsonString());
        return ExitCodes.Success;
    }

    private static long Size(string output) => Directory.Exists(output)
        ? Directory.EnumerateFiles(output, "*.safetensors", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length)
        : new FileInfo(output).Length;
}
