using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using JsonNode = System.Text.Json.Nodes.JsonNode;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// Tokenizer, chat template and generation settings of a GGUF file in Hugging Face layout. Files of that layout that stand beside the GGUF file are
/// preferred: they are the originals that the file's metadata was made from.
/// </summary>
internal static class GgufSideFiles
{
    public static void Write(GgufCheckpoint checkpoint, GgufFile file, string folder)
    {
        string beside = Path.GetDirectoryName(Path.GetFullPath(file.Location))!;
        if (File.Exists(Path.Combine(beside, "tokenizer.json")) && SameVocabulary(beside, checkpoint)) SideFiles.Copy(beside, folder);
        else HuggingFaceTokenizerWriter.Write(GgufVocabularyReader.Read(file), checkpoint.ReadChatTemplates(), folder);
        string generation = Path.Combine(folder, "generation_config.json");
        if (File.Exists(generation)) return;
        JsonObject config = checkpoint.HuggingFaceConfig;
        var json = new JsonObject { ["_from_model_config"] = true };
        foreach (string key in (ReadOnlySpan<string>)["bos_token_id", "eos_token_id", "pad_token_id"])
        {
            if (config[key] is JsonNode id) json[key] = id.DeepClone();
        }
        File.WriteAllText(generation, json.ToJsonString());
    }

    // A tokenizer of another model beside the file must not slip into the result.
    private static bool SameVocabulary(string folder, GgufCheckpoint checkpoint)
    {
        try
        {
            ITokenizer beside = TokenizerLoader.FromFolder(folder), own = checkpoint.LoadTokenizer();
            for (int id = 0; id < own.VocabularySize; id++)
            {
                if (id < beside.VocabularySize && beside.TokenText(id) is { } text && own.TokenText(id) is { } mine && text != mine) return false;
            }
            return true;
        }
        catch (TokenizerException)
        {
            return false;
        }
    }
}
