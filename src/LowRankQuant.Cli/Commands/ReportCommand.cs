using System.CommandLine;
using System.Text.Json;
using LowRankQuant.Cli.Options;
using LowRankQuant.Formats;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq report RESULT...</c>: pages of finished runs, without any model.</summary>
internal sealed class ReportCommand(Terminal terminal)
{
    private const int MostResults = 64;

    private static readonly KeyValuePair<string, PageFormat>[] Formats = [new("html", PageFormat.Html), new("md", PageFormat.Markdown), new("json", PageFormat.Json)];

    private readonly Argument<string[]> _results = new("RESULT") { Description = "Output folders of 'lrq quantize', or their report.json. Several are compared on one page.", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string?> _out = Create("--out", "FILE", "The file to write (default: report.html in the folder of one result; md and json go to standard output).");
    private readonly Option<string?> _format = Create("--format", "html|md|json", "What to write (default: as the name of --out ends, else html).");

    public Command Build()
    {
        var command = new Command("report", "Write the report of a result, or several results on one page with a comparison up front.") { _results, _out, _format };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed), cancellation));
        return command;
    }

    private int Run(ParseResult parsed)
    {
        var reader = new OptionReader(parsed);
        string[] paths = parsed.GetValue(_results) ?? [];
        string? output = reader.Text(_out);
        PageFormat format = reader.Choice(_format, Formats) ?? OfName(output);
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
