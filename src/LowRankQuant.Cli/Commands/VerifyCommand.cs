using System.CommandLine;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Verification;
using LowRankQuant.Models.Verification.Engines;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq verify PATH [--against RUN]</c>.</summary>
internal sealed class VerifyCommand(Terminal terminal)
{
    private const int MostDifferences = 20;
    private readonly Argument<string> _path = new("PATH") { Description = $"The container. {ModelPath.Help}" };
    private readonly Option<string?> _against = Create(
        "--against", "RUN", "What it was made from: codes, zero points, scales and all other tensors are compared.");
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
        using ICheckpoint container = CheckpointOpener.Open(ModelPath.Of(parsed.GetValue(_path)!).Path);
        using ICheckpoint? run = parsed.GetValue(_against) is { } against ? CheckpointOpener.Open(ModelPath.Of(against).Path) : null;
        VerifyReport report;
        using (RunNarrator narrator = RunDisplay.Create(terminal, json))
        {
            narrator.Stage($"reading {container.Location}");
            report = new CheckpointVerifier(container, run) { Progress = (done, total) => narrator.Progress(done, total) }.Run(cancellation);
        }
        Print(report, run, json ? terminal.Error : terminal.Out);
        if (json) terminal.Out.WriteLine(ToJson(container, run, report).ToJsonString());
        return report.Differences.Count == 0 ? ExitCodes.Success : ExitCodes.Failed;
    }

    private static void Print(VerifyReport report, ICheckpoint? run, TextWriter writer)
    {
        writer.WriteLine($"{report.Kind}: {report.Tensors} tensors read, {report.Linears} quantized linears.");
        if (run is not null)
            writer.WriteLine($"Against {run.Location}: {report.ComparedByCodes} linears by codes, zero points and scales, {report.ComparedByValues} tensors by values.");
        foreach (string note in report.Notes) writer.WriteLine($"note: {note}");
        foreach (Difference difference in report.Differences.Take(MostDifferences)) writer.WriteLine($"different: {difference}");
        if (report.Differences.Count > MostDifferences) writer.WriteLine($"different: {report.Differences.Count - MostDifferences} more");
        if (run is not null && report.Differences.Count == 0) writer.WriteLine("No difference.");
        if (report.Engines.Count == 0) return;
        writer.WriteLine();
        var table = new TextTable("engine", "verdict", "why") { WordColumns = 3 };
        foreach (EngineVerdict verdict in report.Engines) table.Add(verdict.Engine, Word(verdict.Support), verdict.Reason);
        writer.Write(table.ToString());
    }

    private static JsonObject ToJson(ICheckpoint container, ICheckpoint? run, VerifyReport report) => new()
    {
        ["path"] = container.Location,
        ["kind"] = report.Kind,
        ["against"] = run?.Location,
        ["tensors"] = report.Tensors,
        ["linears"] = report.Linears,
        ["comparedByCodes"] = report.ComparedByCodes,
        ["comparedByValues"] = report.ComparedByValues,
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
        })]),
    };

    private static string Word(EngineSupport support) => support switch
    {
        EngineSupport.Fast => "fast",
        EngineSupport.Loads => "loads",
        _ => "refuses",
    };
}
