using System.Text.Json;

namespace LowRankQuant.Models.ChatTemplates;

/// <summary>Finds the chat template in a model folder.</summary>
internal static class ChatTemplateFile
{
    private const long LargestFile = 64L << 20;

    /// <summary>The text of chat_template.jinja, else of tokenizer_config.json's <c>chat_template</c>; null when there is none.</summary>
    /// <exception cref="ChatTemplateException">A file is too large or no sound JSON.</exception>
    public static string? Find(string folder)
    {
        string jinja = Path.Combine(folder, "chat_template.jinja"), config = Path.Combine(folder, "tokenizer_config.json");
        if (File.Exists(jinja)) return File.ReadAllText(Checked(jinja));
        if (!File.Exists(config)) return null;
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Checked(config)));
            if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("chat_template", out JsonElement template)) return null;
            if (template.ValueKind == JsonValueKind.String) return template.GetString();
            // Several templates by name; the one without a purpose of its own is called default.
            return template.ValueKind != JsonValueKind.Array
                ? null
                : template.EnumerateArray().Where(entry => entry.ValueKind == JsonValueKind.Object && Text(entry, "name") == "default").Select(entry => Text(entry, "template")).FirstOrDefault();
        }
        // The second: a text with an escaped half of a character.
        catch (Exception failure) when (failure is JsonException or InvalidOperationException)
        {
            throw new ChatTemplateException($"{config} is not sound JSON: {failure.Message}", failure);
        }
    }

    private static string? Text(JsonElement entry, string name) =>
        entry.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string Checked(string file) =>
        new FileInfo(file).Length <= LargestFile ? file : throw new ChatTemplateException($"{file} has more than {LargestFile} bytes; it is no tokenizer configuration.");
}
