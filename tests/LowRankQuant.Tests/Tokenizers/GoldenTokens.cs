using System.Text;
using System.Text.Json;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>The strings and expected ids of the reference data.</summary>
internal sealed class GoldenTokens : IDisposable
{
    private readonly JsonDocument _golden;

    private GoldenTokens(string path)
    {
        _golden = JsonDocument.Parse(File.ReadAllBytes(path));
        using JsonDocument strings = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "tokenizers", "strings.json")));
        foreach (JsonElement item in strings.RootElement.GetProperty("strings").EnumerateArray().Some())
            Strings.Add(item.GetProperty("name").GetString()!, item.GetProperty("text").GetString()!);
        foreach (JsonElement item in strings.RootElement.GetProperty("illFormed").EnumerateArray())
        {
            char[] units = [.. item.GetProperty("utf16").EnumerateArray().Select(unit => (char)unit.GetInt32())];
            Strings.Add(item.GetProperty("name").GetString()!, new string(units));
        }
    }

    public Dictionary<string, string> Strings { get; } = [];

    public JsonElement Root => _golden.RootElement;

    public static GoldenTokens HuggingFace(string name) => new(TestData.Path("golden", "tokenizers", name + ".json"));

    public static GoldenTokens Gguf(string name) => new(TestData.Path("golden", "gguf", "tokens", name + ".json"));

    public static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];

    /// <summary>Compares every id and every decoded text; the failure lists what differs.</summary>
    public void Check(ITokenizer tokenizer)
    {
        Assert.Equal(Root.GetProperty("vocabSize").GetInt32(), tokenizer.VocabularySize);
        StringBuilder differences = new();
        int cases = 0;
        foreach (JsonProperty entry in Root.GetProperty("cases").EnumerateObject().Some())
        {
            cases++;
            string text = Strings[entry.Name];
            int[] special = Ids(entry.Value.GetProperty("idsSpecial"));
            Same(entry.Name + " ids", Ids(entry.Value.GetProperty("ids")), tokenizer.Encode(text, addSpecialTokens: false), differences);
            Same(entry.Name + " idsSpecial", special, tokenizer.Encode(text, addSpecialTokens: true), differences);
            // Ill-formed strings come without decoded texts.
            if (!entry.Value.TryGetProperty("decoded", out JsonElement decoded)) continue;
            Same(entry.Name + " decoded", decoded.GetString()!, tokenizer.Decode(special, false), differences);
            Same(entry.Name + " decodedSkip", entry.Value.GetProperty("decodedSkip").GetString()!, tokenizer.Decode(special, true), differences);
        }
        int index = 0;
        foreach (JsonElement item in Root.GetProperty("decodeOnly").EnumerateArray())
        {
            int[] ids = Ids(item.GetProperty("ids"));
            Same($"extra {index} decoded", item.GetProperty("decoded").GetString()!, tokenizer.Decode(ids, false), differences);
            Same($"extra {index++} decodedSkip", item.GetProperty("decodedSkip").GetString()!, tokenizer.Decode(ids, true), differences);
        }
        Assert.Equal(Strings.Count, cases);
        Assert.True(differences.Length == 0, differences.ToString());
    }

    public static void Same(string what, int[] expected, int[] actual, StringBuilder differences)
    {
        if (!expected.AsSpan().SequenceEqual(actual))
            differences.AppendLine($"{what}: expected [{string.Join(' ', expected.Take(60))}], got [{string.Join(' ', actual.Take(60))}]");
    }

    public static void Same(string what, string expected, string actual, StringBuilder differences)
    {
        if (expected != actual)
            differences.AppendLine($"{what}: expected {JsonSerializer.Serialize(expected)}, got {JsonSerializer.Serialize(actual)}");
    }

    public void Dispose() => _golden.Dispose();
}
