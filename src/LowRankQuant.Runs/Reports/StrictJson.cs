using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using LowRankQuant.Evaluation.Tasks.Results;

namespace LowRankQuant.Runs.Reports;

/// <summary>
/// Reads reports that may come from anybody: nothing that must be there is missing afterwards. What an earlier version did not write has its usual value, or is null where a list is
/// (<see cref="ReportDefaults"/>); a member that is there and null where none may be is damage.
/// </summary>
internal static class StrictJson
{
    /// <summary>The strict reader of a type.</summary>
    /// <typeparam name="T">What is read.</typeparam>
    /// <param name="context">Knows the type.</param>
    public static JsonTypeInfo<T> Of<T>(JsonSerializerContext context) => (JsonTypeInfo<T>)new JsonSerializerOptions(context.Options)
    {
        RespectNullableAnnotations = true,
        TypeInfoResolver = ((IJsonTypeInfoResolver)context).WithAddedModifier(RequireNames),
    }.GetTypeInfo(typeof(T));

    /// <summary>Reads a text.</summary>
    /// <param name="json">The text in UTF-8.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <param name="type">A strict reader.</param>
    /// <param name="what">What the file should be, for messages.</param>
    /// <param name="figures">Figures within, whose tables of tasks are looked into.</param>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static T Parse<T>(ReadOnlySpan<byte> json, string file, JsonTypeInfo<T> type, string what, Func<T, IEnumerable<TaskReport?>> figures)
        where T : class
    {
        try
        {
            RefuseHoles(json);
            T read = JsonSerializer.Deserialize(json, type) ?? throw new InvalidDataException($"{file} holds nothing.");
            foreach (TaskReport? tasks in figures(read)) RefuseHoles(tasks?.Tasks);
            return read;
        }
        catch (JsonException failure)
        {
            string place = failure.Path is { Length: > 1 } at ? $" at {at}" : failure.LineNumber is { } line ? $" at line {line + 1}, column {failure.BytePositionInLine + 1}" : "";
            throw new InvalidDataException($"{file} is no sound {what}{place}.", failure);
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

    private static void RefuseHoles(IReadOnlyDictionary<string, TaskResult>? tasks)
    {
        foreach (TaskResult? task in tasks?.Values ?? [])
        {
            if (task is null || task.Metrics?.Values.Any(metric => metric is null) == true || task.Against?.Values.Any(figure => figure is null) == true) throw new JsonException("null in a table of tasks");
            RefuseHoles(task.Groups);
            RefuseHoles(task.Subjects);
        }
    }
}
