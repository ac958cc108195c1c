using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace LowRankQuant.Formats;

/// <summary>JSON files of our own making, read back.</summary>
public static class StoredJson
{
    /// <summary>Reads a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="type">What it holds.</param>
    /// <param name="remedy">What its user can do where it is damaged.</param>
    /// <exception cref="InvalidDataException">It is no sound JSON, or was written by another version.</exception>
    public static T Read<T>(string file, JsonTypeInfo<T> type, string remedy)
        where T : class
    {
        byte[] bytes = File.ReadAllBytes(file);
        try
        {
            using (JsonDocument.Parse(bytes))
            {
                // Damage of the text is told apart from a sound text that says something else.
            }
        }
        catch (JsonException failure)
        {
            throw new InvalidDataException($"{file} is damaged at line {failure.LineNumber + 1}, column {failure.BytePositionInLine + 1}; {remedy}.", failure);
        }
        try
        {
            return JsonSerializer.Deserialize(bytes, type) ?? throw new InvalidDataException($"{file} holds nothing; {remedy}.");
        }
        catch (JsonException failure)
        {
            throw new InvalidDataException($"{file} lacks what this version of lrq looks for{(failure.Path is { Length: > 1 } path ? $" at {path}" : "")}; {remedy}.", failure);
        }
    }
}
