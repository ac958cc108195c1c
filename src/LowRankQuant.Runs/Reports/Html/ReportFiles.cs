using System.Text.Json.Serialization.Metadata;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Reports read back from output folders. They may come from anybody: sizes are bounded, and nothing that must be there is missing afterwards.</summary>
public static class ReportFiles
{
    private const long LargestReport = 64L << 20, LargestRecipe = 1L << 20;

    private static readonly JsonTypeInfo<RunReport> Strict = StrictJson.Of<RunReport>(RunJson.Default);

    /// <summary>Reads a result.</summary>
    /// <param name="path">An output folder, or its report.json.</param>
    /// <exception cref="InvalidDataException">There is no report, or it is damaged, or too large.</exception>
    public static ReportedResult Read(string path)
    {
        string file = Directory.Exists(path) ? Path.Combine(path, RunFolder.ReportName) : path;
        var info = new FileInfo(file);
        if (!info.Exists) throw new InvalidDataException($"{path} holds no {RunFolder.ReportName}; name an output folder of 'lrq quantize', or such a file.");
        if (info.Length > LargestReport) throw new InvalidDataException($"{file} has {info.Length} bytes; a report has at most {LargestReport}.");
        return Beside(Path.GetDirectoryName(Path.GetFullPath(file))!, Parse(File.ReadAllBytes(file), file)) is var result && Directory.Exists(path) ? result : result with { Name = NameOf(file) };
    }

    /// <summary>A report with what lies beside it in its folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="report">The report.</param>
    public static ReportedResult Beside(string folder, RunReport report)
    {
        var recipe = new FileInfo(Path.Combine(folder, RunFolder.RecipeName));
        return new ReportedResult(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))), report, recipe.Exists && recipe.Length <= LargestRecipe ? File.ReadAllText(recipe.FullName) : null);
    }

    /// <summary>Reads the text of a report.</summary>
    /// <param name="json">The text in UTF-8.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static RunReport Parse(ReadOnlySpan<byte> json, string file) => ReportDefaults.Fill(StrictJson.Parse(
        json, file, Strict, "report", report => [report.Tasks, report.FullPrecision?.Tasks, report.Rtn?.Tasks, report.Result?.Tasks, report.AsStored?.Tasks]));

    private static string NameOf(string file)
    {
        string name = Path.GetFileName(file);
        if (name != RunFolder.ReportName) return Path.GetFileNameWithoutExtension(name);
        return Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(file))) is { Length: > 0 } folder ? folder : name;
    }
}
