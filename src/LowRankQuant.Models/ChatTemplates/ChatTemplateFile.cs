using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>
/// Finds the chat templates of a model folder, in the order in which transformers looks: <c>chat_template.jinja</c> with the files of
/// <c>additional_chat_templates</c>, else <c>chat_template</c> of tokenizer_config.json (a text, or several by name), else <c>chat_template.json</c>, which
/// processors have.
/// </summary>
internal static class ChatTemplateFile
{
    /// <summary>Name of the template without a purpose of its own.</summary>
    public const string Default = "default";

    /// <summary>Folder of further templates, a file each, called after its name.</summary>
    public const string AdditionalFolder = "additional_chat_templates";

    /// <summary>Ending of their files.</summary>
    public const string Extension = ".jinja";

    private const string Key = "chat_template";
    private const long LargestFile = 64L << 20;

    /// <summary>The default template; null when there is none.</summary>
    /// <exception cref="ChatTemplateException">A file is too large or no sound JSON.</exception>
    public static string? Find(string folder) => FindAll(folder).GetValueOrDefault(Default);

    /// <summary>All templates by name; empty when there are none.</summary>
    /// <exception cref="ChatTemplateException">A file is too large or no sound JSON.</exception>
    public static Dictionary<string, string> FindAll(string folder)
    {
        Dictionary<string, string> templates = Additional(folder);
        string jinja = Path.Combine(folder, Key + Extension);
        if (File.Exists(jinja)) templates[Default] = Read(jinja);
        if (templates.Count > 0) return templates;
        foreach (string name in new[] { "tokenizer_config.json", "chat_template.json" })
        {
            string file = Path.Combine(folder, name);
            if (!File.Exists(file)) continue;
            AddTo(templates, file);
            if (templates.Count > 0) return templates;
        }
        return templates;
    }

    /// <summary>The files of <see cref="AdditionalFolder"/>.</summary>
    /// <exception cref="ChatTemplateException">A file is too large.</exception>
    public static Dictionary<string, string> Additional(string folder)
    {
        string path = Path.Combine(folder, AdditionalFolder);
        return Directory.Exists(path)
            ? Directory.EnumerateFiles(path, "*" + Extension).Order(StringComparer.Ordinal)
                .ToDictionary(file => Path.GetFileNameWithoutExtension(file), Read, StringComparer.Ordinal)
            : new Dictionary<string, string>(StringComparer.Ordinal);
    }

    private static void AddTo(Dictionary<string, string> templates, string file)
    {
        try
        {
            using JsonDocument json = JsonFile.Parse(file, LargestFile);
            if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty(Key, out JsonElement template)) return;
            switch (template.ValueKind)
            {
                case JsonValueKind.String:
                    templates[Default] = template.GetString()!;
                    break;
                case JsonValueKind.Array:
                    foreach (JsonElement entry in template.EnumerateArray().Where(entry => entry.ValueKind == JsonValueKind.Object))
                    {
                        if (Text(entry, "name") is { } name && Text(entry, "template") is { } text) templates[name] = text;
                    }
                    break;
                case JsonValueKind.Object:
                    foreach (JsonProperty entry in template.EnumerateObject().Where(entry => entry.Value.ValueKind == JsonValueKind.String))
                        templates[entry.Name] = entry.Value.GetString()!;
                    break;
            }
        }
        catch (CheckpointFormatException failure)
        {
            throw new ChatTemplateException(failure.Message, failure);
        }
    }

    private static string? Text(JsonElement entry, string name) =>
        entry.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string Read(string file) => FileLength.Of(file) <= LargestFile
        ? File.ReadAllText(file)
        : throw new ChatTemplateException($"{file} has more than {LargestFile} bytes; it is no chat template.");
}
