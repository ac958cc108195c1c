using System.Text.Json;

namespace LowRankQuant.Formats;

/// <summary>Fields of a quantization configuration, each checked for its JSON type; null and absent are the same.</summary>
/// <param name="json">The object.</param>
/// <param name="file">File it comes from, for messages.</param>
/// <param name="path">Path of the object within the file, for messages.</param>
internal sealed class ConfigFields(JsonElement json, string file, string path)
{
    /// <summary>Checks that an element is an object.</summary>
    /// <exception cref="CheckpointFormatException">It is not (<c>config-schema</c>).</exception>
    public static ConfigFields Of(JsonElement json, string file, string path) => json.ValueKind == JsonValueKind.Object
        ? new ConfigFields(json, file, path)
        : throw new CheckpointFormatException("config-schema", file, path, $"is {JsonFile.Name(json.ValueKind)}; it must be an object.");

    /// <summary>File it comes from.</summary>
    public string File => file;

    /// <summary>Path of the object within the file.</summary>
    public string Path => path;

    /// <summary>All fields of the object.</summary>
    public IEnumerable<JsonProperty> All => json.EnumerateObject();

    /// <summary>A field of any type.</summary>
    public JsonElement? Any(string name) => json.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>A string.</summary>
    public string? Text(string name) => Any(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value => value.GetString(),
        { } other => throw Bad(name, $"is {JsonFile.Name(other.ValueKind)}; it must be a string."),
    };

    /// <summary>A whole number.</summary>
    public int? Integer(string name) => Any(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt32(out int number) => number,
        _ => throw Bad(name, "must be an integer of at most 32 bits."),
    };

    /// <summary>true or false.</summary>
    public bool? Boolean(string name) => Any(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        _ => throw Bad(name, "must be true or false."),
    };

    /// <summary>A whole number that must be there.</summary>
    public int Required(string name) => Integer(name) ?? throw Bad(name, "the key is missing.");

    /// <summary>A group size: a positive number, or -1 for the whole row.</summary>
    /// <param name="name">The field.</param>
    /// <param name="otherwise">The size where the field is absent; null when it must be there.</param>
    public int GroupSize(string name, int? otherwise = null)
    {
        int size = Integer(name) ?? otherwise ?? Required(name);
        return size is > 0 or -1 ? size : throw Bad(name, $"is {size}; it must be positive, or -1 for the whole row.");
    }

    /// <summary>Whether a field holds an object or array with anything in it.</summary>
    public bool IsFilled(string name) => Any(name) switch
    {
        { ValueKind: JsonValueKind.Object } value => value.EnumerateObject().Any(),
        { ValueKind: JsonValueKind.Array } value => value.GetArrayLength() > 0,
        { ValueKind: JsonValueKind.False } or null => false,
        _ => true,
    };

    /// <summary>Refuses every field that is not among those that are understood; null and absent are the same.</summary>
    /// <param name="known">Names of the fields that are.</param>
    /// <param name="kind">Kind of the error.</param>
    public void RefuseOthers(IReadOnlyList<string> known, string kind)
    {
        foreach (JsonProperty field in All.Where(field => field.Value.ValueKind != JsonValueKind.Null && !known.Contains(field.Name)))
            throw Bad(field.Name, $"is not understood here; understood are {string.Join(", ", known)}.", kind);
    }

    /// <summary>The exception for a field that breaks a rule.</summary>
    public CheckpointFormatException Bad(string name, string message, string kind = "config-schema") => new(kind, file, $"{path}.{name}", message);
}
