using System.Globalization;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Results whose figures may stand in one ranking: measured on the same text against the same original.</summary>
/// <param name="Title">On what and against what.</param>
/// <param name="IsMeasured">Whether there are figures.</param>
/// <param name="Results">The results, as they were given.</param>
internal sealed record ResultGroup(string Title, bool IsMeasured, IReadOnlyList<ReportedResult> Results)
{
    /// <summary>Divides results; those that cannot be compared with any other are a group each.</summary>
    public static IReadOnlyList<ResultGroup> Of(IReadOnlyList<ReportedResult> results)
    {
        ResultGroup[] groups =
        [
            .. results.Select((result, i) => (Result: result, Key: KeyOf(result.Report, i))).GroupBy(pair => pair.Key, pair => pair.Result, StringComparer.Ordinal)
                .Select(group => new ResultGroup(TitleOf(group.First().Report), IsMeasuredIn(group.First().Report), [.. group])),
        ];
        HashSet<string> twice = [.. groups.CountBy(group => group.Title).Where(title => title.Value > 1).Select(title => title.Key)];
        return [.. groups.Select((group, i) => twice.Contains(group.Title) ? group with { Title = $"{group.Title}: text {i + 1}{(group.Results[0].Report.Measured?.Sha256 is { } hash ? $", SHA-256 {Figure.Short(hash, 13)}" : "")}" } : group)];
    }

    /// <summary>What a reader of all groups must know; nothing where there is one.</summary>
    public static IReadOnlyList<string> Warnings(IReadOnlyList<ResultGroup> groups)
    {
        var warnings = new List<string>();
        if (groups.Count(group => group.IsMeasured) > 1)
            warnings.Add("These results were not all measured on the same text against the same original. Each group has its own table and picture; figures of different groups cannot be ranked.");
        if (groups.Any(group => !group.IsMeasured)) warnings.Add("Some of the results were not measured: nothing but their size is known.");
        if (groups.SelectMany(group => group.Results).Any(result => result.Report.Measured is null && IsMeasuredIn(result.Report)))
            warnings.Add("Some of the reports were made by an earlier version, which did not say which text it was: they are taken for equal where name, tokens and the original's perplexity are.");
        return warnings;
    }

    /// <summary>Names that tell results apart.</summary>
    public static IReadOnlyList<ReportedResult> Named(IReadOnlyList<ReportedResult> results)
    {
        var used = new HashSet<string>(StringComparer.Ordinal);
        return [.. results.Select(result =>
        {
            string name = Figure.Short(result.Name, 80), own = name;
            for (int i = 2; !used.Add(own); i++) own = $"{name} ({i})";
            return result with { Name = own };
        })];
    }

    private static bool IsMeasuredIn(RunReport report) => report.Result?.KlDivergence is not null;

    private static string KeyOf(RunReport report, int number)
    {
        if (!IsMeasuredIn(report)) return "not measured";
        string original = report.Origin?.ModelHash ?? $"perplexity {Six(report.FullPrecision?.Perplexity)}";
        string text = report.Measured switch
        {
            null => $"{report.EvaluationSource}",
            { Sha256: not null } measured => measured.Identity(),
            // Held-out windows belong to a run; another run has the same where its calibration ids are.
            _ => report.Origin?.DataHash is { } data ? $"held-out {data}" : $"held-out of {number}",
        };
        return string.Create(CultureInfo.InvariantCulture, $"{original}|{text}|{report.Result!.Tokens}|{report.Result.Windows}");
    }

    private static string TitleOf(RunReport report) => !IsMeasuredIn(report) ? "Not measured"
        : $"{Figure.Short(Path.GetFileName(report.EvaluationSource ?? "an unnamed text"), 80)}, {Figure.Count(report.Result!.Tokens)} tokens{(report.Origin is { } origin ? $", against {Figure.Short(origin.BaseModel ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(origin.Model)), 80)}" : "")}";

    private static string Six(double? value) => value?.ToString("G6", CultureInfo.InvariantCulture) ?? "unknown";
}
