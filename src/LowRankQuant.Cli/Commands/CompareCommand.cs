using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Runs.Reports;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq compare ITEMS --against ITEMS</c>: figures of saved items, without any model.</summary>
internal sealed class CompareCommand(Terminal terminal)
{
    private readonly Argument<string> _items = new("ITEMS") { Description = "A file that 'lrq eval --items' wrote." };
    private readonly Option<string?> _against = Create("--against", "FILE", "Another such file to compare with, item by item.");
    private readonly Option<string?> _harness = Create("--harness", "NAME", "Whose conventions the items were scored by, for files of older versions, which do not say so: v0.4, v0.3 or hendrycks.");
    private readonly Option<bool> _json = CommonOptions.Json();

    public Command Build()
    {
        var command = new Command("compare", "Sum up saved items of tasks, and compare them with those of another model.") { _items, _against, _harness, _json };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed), cancellation));
        return command;
    }

    private int Run(ParseResult parsed)
    {
        var reader = new OptionReader(parsed);
        Harness? harness = reader.Choice(_harness, HarnessNames.All);
        string items = parsed.GetValue(_items)!;
        string? against = reader.Text(_against);
        foreach (string file in against is null ? [items] : new[] { items, against })
        {
            if (!File.Exists(file)) reader.Problems.Add($"{file} is not a file; name one that 'lrq eval --items' wrote.");
        }
        RequestException.ThrowIfAny(reader.Problems);
        TaskReport report = TaskReport.OfItems(items, against, harness);
        if (reader.Flag(_json)) terminal.Out.WriteLine(JsonSerializer.Serialize(report, RunJson.Default.TaskReport));
        else terminal.Out.Write(TaskTable.Of(report));
        foreach (string note in report.Notes) terminal.Error.WriteLine($"warning: {OptionText.Of(note)}");
        return ExitCodes.Success;
    }
}
