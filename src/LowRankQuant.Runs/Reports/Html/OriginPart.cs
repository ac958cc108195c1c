namespace LowRankQuant.Runs.Reports.Html;

/// <summary>How to make the result again: command, recipe, hashes, versions.</summary>
internal static class OriginPart
{
    private const int LongestRecipe = 64 << 10;

    /// <summary>The command that makes a result again, with keys of recipes in backticks.</summary>
    public static string Command(RunReport report) => $"lrq quantize {Quoted(report.Origin?.Model ?? "MODEL")} `recipe` recipe.json `out` FOLDER";

    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, RunReport report, string? recipe) => sheet.Part("again", "Make it again", () =>
    {
        sheet.Body.Add($"<pre tabindex=\"0\" role=\"region\" aria-label=\"Command\"><code>{sheet.Spell(Command(report))}</code></pre>");
        sheet.Say("The same recipe, model, texts, version and kernels give the same bytes, whatever the number of threads.");
        sheet.Body.Add($"<dl class=\"facts\">");
        Fact("Scheme", report.Scheme);
        if (report.Quantizers is { } quantizers) Fact("Quantizers", quantizers);
        if (report.Origin is { } origin)
        {
            Fact("Source", origin.BaseModel is { } name && name != origin.Model ? $"{origin.Model} ({name})" : origin.Model);
            Fact("lrq", origin.Engine);
            Fact("Machine", origin.Machine);
            Fact(".NET", origin.Runtime);
            Code("Source, SHA-256", origin.ModelHash);
            Code("Recipe, SHA-256", origin.RecipeHash);
            Code("Calibration ids, SHA-256", origin.DataHash);
        }
        Code("Text measured on, SHA-256", report.Measured?.Sha256);
        Code("Tensors, SHA-256", report.OutputHash);
        sheet.Body.Add($"</dl>");
        if (report.Origin is null) sheet.Say("Source and versions are not in reports of earlier versions.", "soft");
        if (recipe is null) return;
        sheet.Body.Add($"<details><summary>recipe.json</summary><pre tabindex=\"0\" role=\"region\" aria-label=\"recipe.json\"><code>{Sheet.Bound(recipe, LongestRecipe)}</code></pre></details>");

        void Fact(string name, string value) => sheet.Body.Add($"<dt>{name}</dt><dd>{Sheet.Bound(value, 400)}</dd>");

        void Code(string name, string? value)
        {
            if (value is not null) sheet.Body.Add($"<dt>{name}</dt><dd><code>{Sheet.Bound(value, 128)}</code></dd>");
        }
    });

    private static string Quoted(string text) => text.All(letter => char.IsLetterOrDigit(letter) || letter is '/' or '.' or '-' or '_' or '@' or ':') ? text : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
