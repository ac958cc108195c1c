using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>
/// README.md of an output folder: the model card that the Hugging Face hub shows, with the metadata that it reads. Its last line holds the hash of the rest, so that a card that
/// somebody wrote or changed is known and never overwritten.
/// </summary>
public static class ModelCard
{
    /// <summary>Name of the file in an output folder.</summary>
    public const string FileName = "README.md";

    private const string Seal = "<!-- lrq wrote this card and writes it again while it is unchanged: ";
    private const string SealEnd = " -->\n";
    private const long LargestCard = 4L << 20;

    /// <summary>Writes the card of a result.</summary>
    /// <param name="report">The result.</param>
    /// <param name="source">What the source's own card says.</param>
    /// <param name="container">How the folder stores its weights, as its config.json names it; null for plain floats.</param>
    /// <param name="spell">How keys of recipes in backticks are spelled for the reader; null to leave them as they are.</param>
    public static string Write(RunReport report, ModelCardSource source, string? container, Func<string, string>? spell = null)
    {
        spell ??= text => text;
        var card = new StringBuilder();
        Line($"---");
        if (report.Origin?.BaseModel is { } name)
        {
            Line($"base_model: {Quoted(name)}");
            Line($"base_model_relation: quantized");
        }
        if (report.Engines?.Any(engine => engine.Engine == "transformers" && engine.Verdict != "refuses") == true || container is null) Line($"library_name: transformers");
        Line($"pipeline_tag: text-generation");
        if (source.License is { } license) Line($"license: {license}");
        if (source.LicenseName is { } licenseName) Line($"license_name: {licenseName}");
        if (source.LicenseLink is { } link) Line($"license_link: {link}");
        if (source.Languages.Count > 0) Line($"language: [{string.Join(", ", source.Languages.Select(Quoted))}]");
        Line($"tags: [{string.Join(", ", new[] { "lrq", "low-rank-quantization", "quantized", Tag(report.Method), container ?? "" }.Where(tag => tag.Length > 0).Distinct().Select(Quoted))}]");
        Line($"quantization:");
        Line($"  method: {Quoted(report.Method)}");
        Line($"  scheme: {Quoted(report.Scheme)}");
        Number("bits_per_weight", report.BitsPerWeight);
        Number("bits_per_parameter", report.ResultBitsPerParameter);
        if (report.ResultBytes is { } bytes) Line($"  size_bytes: {bytes}");
        Number("kl_divergence", report.Result?.KlDivergence);
        Number("top1_agreement", report.Result?.Top1Agreement);
        Number("perplexity", report.Result?.Perplexity);
        Number("perplexity_original", report.FullPrecision?.Perplexity);
        Line($"---\n");
        Line($"# {MarkdownText.Of(report.Origin is { } origin ? origin.BaseModel ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(origin.Model)) : "Model")}, quantized by {MarkdownText.Of(report.Method)}\n");
        Line($"{MarkdownText.Of(Verdict.Sentence(report))}\n");
        foreach (Mark mark in Verdict.Marks(report).Where(mark => mark.Kind != MarkKind.Fine).Take(20)) Line($"* **{(mark.Kind == MarkKind.RedFlag ? "Red flag" : "Note")}:** {MarkdownText.Of(spell(mark.Text))}");
        Line($"\n| | |\n|---|---|");
        Line($"| scheme | {MarkdownText.Of(report.Scheme)} |");
        Line($"| bits per weight | {Figure.Bits(report.BitsPerWeight)} ({MarkdownText.Of(BitShares.Of(report).Describe())}) |");
        Line($"| whole file | {Figure.Bytes(report.ResultBytes)}, {Figure.Bits(report.ResultBitsPerParameter)} bits per parameter |");
        if (report.Result is { } result)
        {
            Line($"| KL divergence from the original | {Figure.WithError(result.KlDivergence, Verdict.Error(result, "klDivergence"))} nats |");
            Line($"| noise floor of bf16 | {FloorText.Short(result)}{(result.Depth?.Bf16Floor is null ? "" : " nats")} |");
            Line($"| same most probable token | {Figure.Percent(result.Top1Agreement, Verdict.Error(result, "top1Agreement"))} |");
            Line($"| perplexity | {Figure.WithError(result.Perplexity, Verdict.Error(result, "perplexity"))} (original: {Figure.Number(report.FullPrecision?.Perplexity)}) |");
            Line($"| measured on | {MarkdownText.Of(Path.GetFileName(report.EvaluationSource ?? ""))}, {Figure.Count(result.Tokens)} tokens |");
        }
        if (report.Engines is { Count: > 0 } engines)
        {
            Line($"\n## Engines\n\n| engine | verdict | why |\n|---|---|---|");
            foreach (EngineReport engine in engines.Take(50)) Line($"| {MarkdownText.Of(engine.Engine)} | {MarkdownText.Of(engine.Verdict)} | {MarkdownText.Of(spell(engine.Reason))} |");
        }
        if (report.Tasks is { } tasks) card.Append('\n').Append(TaskMarkdown.Write(tasks).TrimEnd('\n')).Append('\n');
        Line($"\n## Make it again\n\n```\n{Fenced(spell(OriginPart.Command(report)))}\n```\n");
        Line($"`report.html` beside this card shows everything that was measured, `report.json` has the same for programs, `recipe.json` what was done.");
        if (report.OutputHash is { } hash && hash.All(char.IsAsciiHexDigit)) Line($"SHA-256 of the tensors: `{hash}`.");
        card.Append('\n');
        string content = card.ToString();
        return content + Seal + HashOf(content) + SealEnd;

        void Line(FormattableString line) => card.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

        void Number(string key, double? value)
        {
            if (value is { } number && double.IsFinite(number)) Line($"  {key}: {number:G6}");
        }
    }

    /// <summary>Writes the card into a folder, unless somebody's own is there.</summary>
    /// <returns>Whether it was written.</returns>
    public static bool TryWrite(string folder, string card)
    {
        string file = Path.Combine(folder, FileName);
        if (File.Exists(file) && !IsOurs(file)) return false;
        AtomicFile.WriteAllText(file, card);
        return true;
    }

    /// <summary>Whether a card is as it was written here.</summary>
    internal static bool IsOurs(string file)
    {
        if (new FileInfo(file) is not { Exists: true, Length: <= LargestCard }) return false;
        string text = File.ReadAllText(file);
        int seal = text.LastIndexOf(Seal, StringComparison.Ordinal);
        return seal >= 0 && text[seal..] == Seal + HashOf(text[..seal]) + SealEnd;
    }

    private static string HashOf(string content) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(content)));

    // A text in double quotes of JSON is one of YAML, too.
    private static string Quoted(string text) => JsonSerializer.Serialize(Sheet.Bound(text, 300), CardJson.Default.String);

    private static string Tag(string method) => new([.. method.Take(60).Select(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '.' ? letter : letter == '+' ? 'p' : '-')]);

    // What stands between fences.
    private static string Fenced(string text) => new([.. Sheet.Bound(text, 2000).Select(letter => char.IsControl(letter) ? ' ' : letter == '`' ? '\'' : letter)]);
}
