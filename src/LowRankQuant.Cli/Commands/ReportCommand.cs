using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Comparisons;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq report RESULT...</c>: pages of finished runs, without any model.</summary>
internal sealed class ReportCommand(Terminal terminal)
{
    private const int MostResults = 64;

    private static readonly KeyValuePair<string, PageFormat>[] Formats = [new("html", PageFormat.Html), new("md", PageFormat.Markdown), new("json", PageFormat.Json)];

    private readonly Argument<string[]> _results = new("RESULT") { Description = "Output folders of 'lrq quantize', or their report.json. Several are compared on one page; the folder of 'lrq compare-methods' or 'lrq sweep' is a page by itself.", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string?> _out = Create("--out", "FILE", "The file to write (default: report.html in the folder of one result; md and json go to standard output).");
    private readonly Option<string?> _format = Create("--format", "html|md|json", "What to write (default: as the name of --out ends, else html).");
    private readonly Option<string?> _tasks = Create("--tasks", "ITEMS", "Record what the result answered to tasks, a file that 'lrq eval RESULT --tasks ... --items ITEMS' wrote: the reports of the folder, and its model card, are written again with it.");
    private readonly Option<string?> _against = Create("--against", "ITEMS", "With --tasks: the original's answers to the same items; differences are paired.");
    private readonly Option<string?> _harness = Create("--harness", "NAME", "With --tasks: whose conventions the items were scored by, for files of older versions, which do not say so: v0.4, v0.3 or hendrycks.");

    public Command Build()
    {
        var command = new Command("report", "Write the report of a result, or several results on one page with a comparison up front.") { _results, _out, _format, _tasks, _against, _harness };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed), cancellation));
        return command;
    }

    private int Run(ParseResult parsed)
    {
        var reader = new OptionReader(parsed);
        string[] paths = parsed.GetValue(_results) ?? [];
        if (reader.Text(_tasks) is { } items)
        {
            Record(reader, paths, items);
            return ExitCodes.Success;
        }
        reader.Refuse("is for --tasks", _against, _harness);
        string? output = reader.Text(_out);
        PageFormat format = reader.Choice(_format, Formats) ?? OfName(output);
        if (paths.Length == 1 && ComparisonFiles.IsComparison(paths[0]))
        {
            Compare(reader, paths[0], output, format);
            return ExitCodes.Success;
        }
        if (paths.Length > MostResults) reader.Problems.Add($"{paths.Length} results are given; a page holds at most {MostResults}.");
        if (output is not null && Directory.Exists(output)) reader.Problems.Add($"--out {output} is a folder; name a file in it, such as {Path.Combine(output, ReportHtml.FileName)}.");
        if (output is null && format == PageFormat.Html)
        {
            if (paths.Length > 1) reader.Problems.Add("--out is missing: several results belong to no folder; name the file to write.");
            else if (paths.Length == 1 && Directory.Exists(paths[0])) output = Path.Combine(paths[0], ReportHtml.FileName);
            else if (paths.Length == 1) reader.Problems.Add("--out is missing: name the file to write, or give the folder of the result.");
        }
        var results = new List<ReportedResult>();
        foreach (string path in paths.Take(MostResults))
        {
            try
            {
                results.Add(ReportFiles.Read(path));
            }
            catch (InvalidDataException bad)
            {
                reader.Problems.Add(bad.Message);
            }
            if (output is not null && Path.GetFullPath(output) == Path.GetFullPath(Directory.Exists(path) ? Path.Combine(path, RunFolder.ReportName) : path))
                reader.Problems.Add($"--out {output} is a report that is read; name another file.");
        }
        RequestException.ThrowIfAny(reader.Problems);
        Write(results, output, format);
        return ExitCodes.Success;
    }

    // A folder of cells is one page whatever the number of results.
    private void Compare(OptionReader reader, string folder, string? output, PageFormat format)
    {
        if (output is not null && Directory.Exists(output)) reader.Problems.Add($"--out {output} is a folder; name a file in it, such as {Path.Combine(output, ComparisonHtml.FileName)}.");
        if (output is not null && Path.GetDirectoryName(Path.GetFullPath(output)) == Path.GetFullPath(Path.Combine(folder, ComparisonRun.CellsFolder)))
            reader.Problems.Add($"--out {output} lies among the cells that are read; name another file.");
        RequestException.ThrowIfAny(reader.Problems);
        IReadOnlyList<CellResult> cells = ComparisonFiles.Read(folder);
        string title = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
        if (format == PageFormat.Html) output ??= Path.Combine(folder, ComparisonHtml.FileName);
        Write(format switch { PageFormat.Html => ComparisonHtml.Of(title, cells, OptionText.Of), PageFormat.Markdown => ComparisonTable.Of(title, cells, [], []), _ => ComparisonTable.Json(cells) + "\n" }, output);
    }

    private void Record(OptionReader reader, string[] paths, string items)
    {
        string? against = reader.Text(_against);
        Harness? harness = reader.Choice(_harness, HarnessNames.All);
        reader.Refuse("does not go with --tasks, which writes the reports of the folder; give the command again without --tasks", _out, _format);
        if (paths.Length != 1) reader.Problems.Add($"--tasks {items} is about one result, and {paths.Length} are given.");
        else if (!Directory.Exists(paths[0])) reader.Problems.Add($"{paths[0]}: --tasks records into an output folder of 'lrq quantize'; name one.");
        else if (!File.Exists(Path.Combine(paths[0], RunFolder.ReportName))) reader.Problems.Add($"{paths[0]} holds no {RunFolder.ReportName}; name an output folder of 'lrq quantize'.");
        foreach ((string option, string? file) in new[] { (_tasks.Name, items), (_against.Name, against) })
        {
            if (file is not null && !File.Exists(file)) reader.Problems.Add($"{option} {file}: is not a file; name one that 'lrq eval --items' wrote.");
        }
        RequestException.ThrowIfAny(reader.Problems);
        (RunReport report, bool wroteCard) = OutputReports.Record(paths[0], items, against, harness, OptionText.Of);
        foreach (string note in report.Tasks!.Notes) terminal.Error.WriteLine($"warning: {OptionText.Of(note)}");
        if (!wroteCard) terminal.Error.WriteLine($"{Path.Combine(paths[0], ModelCard.FileName)} is somebody's own and stays as it is.");
        terminal.Out.WriteLine($"{report.Tasks.Tasks.Count} {(report.Tasks.Tasks.Count == 1 ? "task is" : "tasks are")} recorded in {Path.Combine(paths[0], RunFolder.ReportName)}; the reports beside it have them.");
    }

    private void Write(List<ReportedResult> results, string? output, PageFormat format)
    {
        string page = (results, format) switch
        {
            ([var one], PageFormat.Html) => ReportHtml.Write(one, OptionText.Of),
            ([var one], PageFormat.Markdown) => ReportMarkdown.Write(one.Report),
            ([var one], _) => JsonSerializer.Serialize(one.Report, RunJson.Default.RunReport) + "\n",
            (_, PageFormat.Html) => ComparisonPage.Html(results, OptionText.Of),
            (_, PageFormat.Markdown) => ComparisonPage.Markdown(results, OptionText.Of),
            _ => ComparisonPage.Json(results) + "\n",
        };
        if (results.Count > 1) foreach (string warning in ComparisonPage.Warnings(results)) terminal.Error.WriteLine($"warning: {OptionText.Of(warning)}");
        Write(page, output);
    }

    private void Write(string page, string? output)
    {
        if (output is null)
        {
            terminal.Out.Write(page);
            return;
        }
        AtomicFile.WriteAllText(output, page);
        terminal.Out.WriteLine($"written to {output}");
    }

    private static PageFormat OfName(string? output) => Path.GetExtension(output)?.ToLowerInvariant() switch
    {
        ".md" => PageFormat.Markdown,
        ".json" => PageFormat.Json,
        _ => PageFormat.Html,
    };

    private enum PageFormat
    {
        Html,
        Markdown,
        Json,
    }
}
