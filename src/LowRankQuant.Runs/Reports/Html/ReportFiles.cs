using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Reports read back from output folders. They may come from anybody: sizes are bounded, and nothing that must be there is missing afterwards.</summary>
public static class ReportFiles
{
    private const long LargestReport = 64L << 20, LargestRecipe = 1L << 20;

    // A report of an earlier version lacks members, which then have their usual values; a member that is there and null where none may be is damage.
    private static readonly JsonTypeInfo<RunReport> Strict = (JsonTypeInfo<RunReport>)new JsonSerializerOptions(RunJson.Default.Options)
    {
        RespectNullableAnnotations = true,
        TypeInfoResolver = RunJson.Default.WithAddedModifier(RequireNames),
    }.GetTypeInfo(typeof(RunReport));

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
    public static RunReport Parse(ReadOnlySpan<byte> json, string file)
    {
        try
        {
            RefuseHoles(json);
            return ReportDefaults.Fill(JsonSerializer.Deserialize(json, Strict) ?? throw new InvalidDataException($"{file} holds nothing."));
        }
        catch (JsonException failure)
        {
            string place = failure.Path is { Length: > 1 } at ? $" at {at}" : failure.LineNumber is { } line ? $" at line {line + 1}, column {failure.BytePositionInLine + 1}" : "";
            throw new InvalidDataException($"{file} is no sound report{place}.", failure);
        }
    }

    // Names and texts of the parts of a report; numbers that are missing are 0.
    private static void RequireNames(JsonTypeInfo type)
    {
        if (type.Kind != JsonTypeInfoKind.Object) return;
        foreach (JsonPropertyInfo member in type.Properties)
        {
            if (member.AssociatedParameter is { IsMemberInitializer: false, IsNullable: false, ParameterType.IsValueType: false }) member.IsRequired = true;
        }
    }

    // The reader of JSON looks for null in members, not in lists and tables.
    private static void RefuseHoles(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        Stack<bool> lists = new();
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject) lists.Push(reader.TokenType == JsonTokenType.StartArray);
            else if (reader.TokenType is JsonTokenType.EndArray or JsonTokenType.EndObject) lists.Pop();
            else if (reader.TokenType == JsonTokenType.Null && lists.TryPeek(out bool list) && list) throw new JsonException("null in a list");
        }
    }

    private static string NameOf(string file)
    {
        string name = Path.GetFileName(file);
        if (name != RunFolder.ReportName) return Path.GetFileNameWithoutExtension(name);
        return Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(file))) is { Length: > 0 } folder ? folder : name;
    }
}
