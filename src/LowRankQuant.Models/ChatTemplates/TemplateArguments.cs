using System.Text.Json;
using LowRankQuant.Models.ChatTemplates.Functions;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>What a chat template gets beside the messages: tools, and variables of its own such as <c>enable_thinking</c>.</summary>
public sealed class TemplateArguments
{
    private const int DeepestNesting = 32;

    // What rendering sets itself.
    private static readonly string[] Given = ["messages", "bos_token", "eos_token", "add_generation_prompt", "tools", "documents"];

    private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

    /// <summary>None.</summary>
    public static TemplateArguments None { get; } = new();

    /// <summary>The JSON that they were given as; empty for none.</summary>
    public string Text { get; private init; } = "";

    /// <summary>Names of the variables.</summary>
    public IReadOnlyCollection<string> Names => _values.Keys;

    /// <summary>The tools; null for none.</summary>
    internal object? Tools { get; private init; }

    internal IReadOnlyDictionary<string, object?> Values => _values;

    /// <summary>Variables from a JSON object.</summary>
    /// <param name="json">Such as <c>{"enable_thinking": false}</c>; <c>strftime_now</c> is the date that the template's function of this name is to tell.</param>
    /// <exception cref="ChatTemplateException">It is none, sets what rendering sets itself, or has a date that is none.</exception>
    public static TemplateArguments Parse(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = DeepestNesting, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new ChatTemplateException("must be a JSON object such as {\"enable_thinking\": false}.");
            var arguments = new TemplateArguments { Text = json };
            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                if (property.Name.Length == 0 || !property.Name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_')) throw new ChatTemplateException($"'{property.Name}' is no name of a variable.");
                if (Given.Contains(property.Name)) throw new ChatTemplateException($"'{property.Name}' is set by what is rendered and cannot be given.");
                object? value = ValueOf(property.Value);
                arguments._values.Add(property.Name, property.Name == TemplateClock.Name ? TemplateClock.Of(value) : value);
            }
            return arguments;
        }
        catch (JsonException failure)
        {
            throw new ChatTemplateException($"must be a JSON object such as {{\"enable_thinking\": false}}: {failure.Message}", failure);
        }
    }

    /// <summary>The same with tools.</summary>
    /// <param name="tools">A JSON array of tools.</param>
    public TemplateArguments With(JsonElement tools)
    {
        var arguments = new TemplateArguments { Text = Text, Tools = ValueOf(tools) };
        foreach ((string name, object? value) in _values) arguments._values.Add(name, value);
        return arguments;
    }

    /// <summary>Calls of tools as a template sees them.</summary>
    /// <param name="calls">A JSON array.</param>
    /// <param name="asObjects">Whether arguments that are the JSON text of an object become that object: a template that writes all arguments as JSON would write a text of JSON within JSON.</param>
    internal static object? CallsOf(JsonElement calls, bool asObjects)
    {
        object? value = ValueOf(calls);
        if (!asObjects) return value;
        foreach (Dictionary<string, object?> call in ((List<object?>)value!).OfType<Dictionary<string, object?>>())
        {
            Open(call);
            if (call.GetValueOrDefault("function") is Dictionary<string, object?> function) Open(function);
        }
        return value;

        static void Open(Dictionary<string, object?> call)
        {
            if (call.GetValueOrDefault("arguments") is string text && ObjectOf(text) is { } known) call["arguments"] = known;
        }
    }

    private static object? ObjectOf(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = DeepestNesting });
            return document.RootElement.ValueKind == JsonValueKind.Object ? ValueOf(document.RootElement) : null;
        }
        catch (JsonException)
        {
            // No JSON: the text is what the model is to see.
            return null;
        }
    }

    private static object? ValueOf(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => element.GetString(),
        JsonValueKind.Number => element.TryGetInt64(out long whole) ? (object)whole : element.GetDouble(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Array => element.EnumerateArray().Select(ValueOf).ToList(),
        JsonValueKind.Object => ObjectOf(element),
        _ => null,
    };

    // The last of two of one name, as Python has it.
    private static Dictionary<string, object?> ObjectOf(JsonElement element)
    {
        var members = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (JsonProperty property in element.EnumerateObject()) members[property.Name] = ValueOf(property.Value);
        return members;
    }
}
