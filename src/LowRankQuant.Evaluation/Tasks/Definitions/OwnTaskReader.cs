using System.Text.Json;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Evaluation.Tasks.Definitions;

/// <summary>Reads recipes of quizzes and tells of every key that is wrong what it may be.</summary>
internal static class OwnTaskReader
{
    private const int LongestRecipe = 1 << 20;

    private static readonly KeyRule[] Rules =
    [
        new("name", "a text", "\"quiz\"", IsText),
        new("file", "a text, the file of the items", "\"quiz.jsonl\"", IsText),
        new("context", "a text with {{column}} where the text of a column goes", "\"Q: {{question}}\\nA:\"", IsText),
        new("choices", "an array with the column of all choices, or with a column for each", "[\"a\", \"b\", \"c\"]", IsTexts),
        new("answer", "a text, the column of the right answer", "\"right\"", IsText),
        new("answerForm", $"one of {string.Join(", ", Enum.GetNames<AnswerForm>())} (Index counts from 0, Number from 1)", "\"Letter\"", value => FormOf(value) is not null),
        new("delimiter", "a text, what stands between context and choice", "\" \"", IsTextOrNull),
        new("normalized", "true or false, whether accuracy per character is reported too", "true", IsFlagOrNull),
    ];

    private static string Keys => string.Join(", ", Rules.Select(rule => rule.Key));

    /// <summary>Reads a recipe.</summary>
    /// <param name="path">Its file.</param>
    /// <param name="problems">Receives what is wrong with its keys.</param>
    /// <exception cref="EvaluationException">The file is absent, too long, no text, or no JSON object.</exception>
    public static OwnTaskRecipe Read(string path, List<string> problems)
    {
        int replaced = 0;
        using JsonDocument json = JsonText.Parse(Text(path), ref replaced, out JsonFault? fault, lenient: true) ?? throw new EvaluationException($"'{path}', {fault}.");
        JsonElement root = json.RootElement;
        if (root.ValueKind != JsonValueKind.Object)
            throw new EvaluationException($"'{path}' is {JsonText.Kind(root)}; a recipe is a JSON object with the keys {Keys}.");
        foreach (JsonProperty property in root.EnumerateObject())
        {
            KeyRule? rule = Array.Find(Rules, known => known.Key == property.Name);
            if (rule is null)
                problems.Add($"'{property.Name}' is no key of a recipe{Spelling.Suggest(property.Name, Rules.Select(known => known.Key))}; its keys are {Keys}");
            else if (!rule.Fits(property.Value))
                problems.Add($"'{rule.Key}' is {Shown(property.Value)}; it must be {rule.What}, such as {rule.Example}{Suggestion(rule, property.Value)}");
        }
        if (problems.Count > 0) return new OwnTaskRecipe();
        return new OwnTaskRecipe
        {
            Name = String("name"),
            File = String("file"),
            Context = String("context"),
            Choices = root.TryGetProperty("choices", out JsonElement choices) ? [.. choices.EnumerateArray().Select(choice => choice.GetString()!)] : null,
            Answer = String("answer"),
            AnswerForm = root.TryGetProperty("answerForm", out JsonElement form) ? FormOf(form)!.Value : AnswerForm.Index,
            Delimiter = String("delimiter"),
            Normalized = root.TryGetProperty("normalized", out JsonElement normalized) && normalized.ValueKind != JsonValueKind.Null ? normalized.GetBoolean() : null,
            LoneSurrogates = replaced,
        };

        string? String(string key) => root.TryGetProperty(key, out JsonElement value) ? value.GetString() : null;
    }

    private static string Text(string path)
    {
        try
        {
            using var reader = new SourceReader(path);
            char[] buffer = new char[LongestRecipe + 1];
            int length = reader.ReadBlock(buffer, 0, buffer.Length);
            return length <= LongestRecipe
                ? new string(buffer, 0, length)
                : throw new EvaluationException($"'{path}' is longer than {LongestRecipe} characters; it is no recipe.");
        }
        catch (TextSourceException failure)
        {
            throw new EvaluationException(failure.Message, failure);
        }
    }

    private static string Shown(JsonElement value) => value.ValueKind is JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null
        ? JsonText.Shown(value) : $"{JsonText.Kind(value)}, {JsonText.Shown(value)}";

    private static string Suggestion(KeyRule rule, JsonElement value) =>
        rule.Key == "answerForm" && value.ValueKind == JsonValueKind.String ? Spelling.Suggest(value.GetString()!, Enum.GetNames<AnswerForm>()) : "";

    private static bool IsText(JsonElement value) => value.ValueKind == JsonValueKind.String;

    private static bool IsTextOrNull(JsonElement value) => value.ValueKind is JsonValueKind.String or JsonValueKind.Null;

    private static bool IsFlagOrNull(JsonElement value) => value.ValueKind is JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null;

    private static bool IsTexts(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(IsText);

    private static AnswerForm? FormOf(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.String) return null;
        foreach (AnswerForm form in Enum.GetValues<AnswerForm>())
        {
            if (string.Equals(form.ToString(), value.GetString(), StringComparison.OrdinalIgnoreCase)) return form;
        }
        return null;
    }

    /// <summary>What a key may be.</summary>
    private sealed record KeyRule(string Key, string What, string Example, Func<JsonElement, bool> Fits);
}
