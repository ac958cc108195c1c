using System.Text.Json.Nodes;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>Writes a GGUF vocabulary as tokenizer.json and tokenizer_config.json.</summary>
internal static class HuggingFaceTokenizerWriter
{
    /// <summary>Writes both files.</summary>
    /// <exception cref="TokenizerException">The vocabulary contradicts itself, or is of a kind that is not known.</exception>
    public static void Write(GgufVocabulary vocabulary, IReadOnlyDictionary<string, string> chatTemplates, string folder)
    {
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), GgufTokenizerJson.Create(vocabulary).ToJsonString());
        ITokenizer tokenizer = GgufTokenizer.Create(vocabulary);
        var config = new JsonObject
        {
            ["tokenizer_class"] = "PreTrainedTokenizerFast",
            ["add_bos_token"] = tokenizer.AddsBos,
            ["clean_up_tokenization_spaces"] = false,
        };
        if (tokenizer.BosId is { } bos) config["bos_token"] = tokenizer.TokenText(bos);
        if (tokenizer.EosId is { } eos) config["eos_token"] = tokenizer.TokenText(eos);
        if (chatTemplates.Count == 1 && chatTemplates.TryGetValue(ChatTemplateFile.Default, out string? only)) config["chat_template"] = only;
        else if (chatTemplates.Count > 0)
            config["chat_template"] = new JsonArray([.. chatTemplates.Select(template => (JsonNode)new JsonObject { ["name"] = template.Key, ["template"] = template.Value })]);
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), config.ToJsonString());
    }
}
