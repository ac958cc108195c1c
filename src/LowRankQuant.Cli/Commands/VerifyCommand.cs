using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Verification;
using LowRankQuant.Models.Verification.Engines;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq verify PATH [--against RUN]</c>.</summary>
internal sealed class VerifyCommand(Terminal terminal, HubFiles hub)
{
    private const int MostDifferences = 20;
    private readonly Argument<string> _path = new("PATH") { Description = $"The container. {ModelPath.Help} Also an adapter by itself: a folder with branches.safetensors, a PEFT folder or a GGUF LoRA file." };
    private readonly Option<string?> _against = Create(
        "--against", "RUN", "What it was made from: codes, zero points, scales, all other tensors, low-rank branches, rotary angles, tokens of sample texts and chat templates are compared.");
    private readonly Option<bool> _json = CommonOptions.Json();

    public Command Build()
    {
        var command = new Command("verify", "Read a container again, compare it with its run, and say which engines load it.") { _path, _against, _json };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        bool json = parsed.GetValue(_json);
        string path = hub.Model(parsed.GetValue(_path)!, cancellation).Path;
        string? against = parsed.GetValue(_against);
        bool isAdapter = AdapterOpener.IsAdapter(path);
        if (isAdapter && against is null) throw new RequestException([$"{path} is an adapter; name the run whose branches it holds by --against."]);
        using ICheckpoint? container = isAdapter ? null : CheckpointOpener.Open(path);
        using ICheckpoint? run = against is null ? null : CheckpointOpener.Open(hub.Model(against, cancellation).Path);
        VerifyReport report;
        using (RunNarrator narrator = RunDisplay.Create(terminal, json))
        {
            foreach (string warning in container?.Warnings ?? []) narrator.Warn(warning);
            narrator.Stage($"reading {path}");
            report = container is null
                ? Compare(path, run!)
                : new CheckpointVerifier(container, run) { Progress = (done, total) => narrator.Progress(done, total) }.Run(cancellation);
        }
        report = report with
        {
            Notes = [.. (container?.Warnings ?? []).Concat(run?.Warnings ?? []).Concat(report.Notes).Select(OptionText.Of)],
            Differences = [.. report.Differences.Select(difference => difference with { Detail = OptionText.Of(difference.Detail) })],
            Engines = [.. report.Engines.Select(verdict => verdict with { Reason = OptionText.Of(verdict.Reason) })],
        };
        Print(report, run, json ? terminal.Error : terminal.Out);
        if (json) terminal.Out.WriteLine(ToJson(path, run, report).ToJsonString());
        return report.Differences.Count == 0 ? ExitCodes.Success : ExitCodes.Failed;
    }

    private static VerifyReport Compare(string adapter, ICheckpoint run)
    {
        using ILowRankAdapter opened = AdapterOpener.Open(adapter, run);
        return AdapterVerifier.Compare(opened, run);
    }

    private static void Print(VerifyReport report, ICheckpoint? run, TextWriter writer)
    {
        string linears = report.Linears > 0 ? $", {report.Linears} quantized linears" : "";
        writer.WriteLine($"{report.Kind}: {report.Tensors} tensors read{linears}.");
        if (run is not null) writer.WriteLine($"Against {run.Location}: {Compared(report)}.");
        foreach (string note in report.Notes) writer.WriteLine($"note: {note}");
        foreach (Difference difference in report.Differences.Take(MostDifferences)) writer.WriteLine($"different: {difference}");
        if (report.Differences.Count > MostDifferences) writer.WriteLine($"different: {report.Differences.Count - MostDifferences} more");
        if (run is not null && report.Differences.Count == 0) writer.WriteLine("No difference.");
        if (report.Engines.Count == 0) return;
        writer.WriteLine();
        var table = new TextTable("engine", "verdict", "checked", "why") { WordColumns = 4 };
        foreach (EngineVerdict verdict in report.Engines) table.Add(verdict.Engine, Word(verdict.Support), verdict.Rules.ToString(), verdict.Reason);
        writer.Write(table.ToString());
    }

    private static string Compared(VerifyReport report)
    {
        var parts = new List<string>();
        if (report.ComparedByCodes > 0) parts.Add($"{report.ComparedByCodes} tensors by codes, zero points and scales");
        if (report.ComparedByValues > 0) parts.Add($"{report.ComparedByValues} by values");
        if (report.Branches > 0) parts.Add($"{report.Branches} low-rank branches");
        if (report.ComparedByValues > 0) parts.Add("sizes and rotary angles");
        if (report.Texts > 0) parts.Add($"the tokens of {report.Texts} texts");
        if (report.Templates > 0) parts.Add($"{report.Templates} chat template{(report.Templates == 1 ? "" : "s")}");
        return parts.Count == 0 ? "nothing to compare" : string.Join(", ", parts);
    }

    private static JsonObject ToJson(string path, ICheckpoint? run, VerifyReport report) => new()
    {
        ["path"] = path,
        ["kind"] = report.Kind,
        ["against"] = run?.Location,
        ["tensors"] = report.Tensors,
        ["linears"] = report.Linears,
        ["comparedByCodes"] = report.ComparedByCodes,
        ["comparedByValues"] = report.ComparedByValues,
        ["branches"] = report.Branches,
        ["texts"] = report.Texts,
        ["chatTemplates"] = report.Templates,
        ["same"] = run is null ? null : report.Differences.Count == 0,
        ["differences"] = new JsonArray([.. report.Differences.Select(difference => (JsonNode)new JsonObject
        {
            ["tensor"] = difference.Tensor,
            ["detail"] = difference.Detail,
        })]),
        ["notes"] = new JsonArray([.. report.Notes.Select(note => (JsonNode)note)]),
        ["engines"] = new JsonArray([.. report.Engines.Select(verdict => (JsonNode)new JsonObject
        {
            ["engine"] = verdict.Engine,
            ["verdict"] = Word(verdict.Support),
            ["reason"] = verdict.Reason,
            ["versions"] = verdict.Rules.Versions,
            ["checked"] = verdict.Rules.Checked.ToString("O", CultureInfo.InvariantCulture),
        })]),
    };

    private static string Word(EngineSupport support) => support switch
    {
        EngineSupport.Fast => "fast",
        EngineSupport.Loads => "loads",
        _ => "refuses",
    };
}
