using System.Text;
using System.Text.Json;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;

namespace LowRankQuant.Tests.Tokenizers;

public sealed class GgufTokenizerTests
{
    [Theory]
    [InlineData("llama-spm", "tokenizers/llamacpp/ggml-vocab-llama-spm.gguf")]
    [InlineData("phi-3", "tokenizers/llamacpp/ggml-vocab-phi-3.gguf")]
    [InlineData("gpt-2", "tokenizers/llamacpp/ggml-vocab-gpt-2.gguf")]
    [InlineData("gpt-neox", "tokenizers/llamacpp/ggml-vocab-gpt-neox.gguf")]
    [InlineData("starcoder", "tokenizers/llamacpp/ggml-vocab-starcoder.gguf")]
    [InlineData("tinystories-656k", "golden/gguf/tinystories-656k/model-q4_0.gguf")]
    public void VocabularyGivesTheIdsOfLlamaCpp(string name, string file)
    {
        using GoldenTokens golden = GoldenTokens.Gguf(name);
        GgufVocabulary vocabulary = TestGgufMetadata.ReadVocabulary(TestData.Path(file.Split('/')));
        ITokenizer tokenizer = GgufTokenizer.Create(vocabulary);
        StringBuilder differences = new();
        int cases = 0;
        foreach (JsonProperty entry in golden.Root.GetProperty("cases").EnumerateObject().Some())
        {
            // The engine stops at characters that this vocabulary cannot spell.
            if (!entry.Value.TryGetProperty("ids", out JsonElement idsElement)) continue;
            cases++;
            string text = golden.Strings[entry.Name];
            int[] ids = GoldenTokens.Ids(idsElement);
            int[] special = GoldenTokens.Ids(entry.Value.GetProperty("idsSpecial"));
            GoldenTokens.Same(entry.Name + " ids", ids, tokenizer.Encode(text, false, parseSpecialTokens: false), differences);
            GoldenTokens.Same(entry.Name + " idsSpecial", special, tokenizer.Encode(text, true), differences);
            // The engine cleans up spaces of byte-level vocabularies; we never do, so there the text itself must come back.
            string expected = vocabulary.Model == "llama"
                ? Encoding.UTF8.GetString(Convert.FromHexString(entry.Value.GetProperty("detokenizedHex").GetString()!))
                : text;
            GoldenTokens.Same(entry.Name + " decoded", expected, tokenizer.Decode(ids, false), differences);
        }
        Assert.Equal(133 - golden.Root.GetProperty("refused").GetArrayLength(), cases);
        Assert.True(differences.Length == 0, differences.ToString());
    }

    [Theory]
    [InlineData("llama-spm")]
    [InlineData("phi-3")]
    [InlineData("gpt-2")]
    [InlineData("starcoder")]
    public void VocabularyGivesTheIdsOfLlamaCppsOwnTests(string name)
    {
        ITokenizer tokenizer = GgufTokenizer.Create(TestGgufMetadata.ReadVocabulary(
            TestData.Path("tokenizers", "llamacpp", $"ggml-vocab-{name}.gguf")));
        LlamaCppCases.Check(name, text => tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: false));
    }

    [Fact]
    public void GptNeoxVocabularyWithTheNameOfMptGivesTheIdsOfMpt()
    {
        GgufVocabulary vocabulary = TestGgufMetadata.ReadVocabulary(TestData.Path("tokenizers", "llamacpp", "ggml-vocab-gpt-neox.gguf"));
        ITokenizer tokenizer = GgufTokenizer.Create(vocabulary with { Pre = "mpt" });
        LlamaCppCases.Check("mpt", text => tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: false));
    }

    [Fact]
    public void SmolLmFileGivesTheIdsOfItsTokenizerJson()
    {
        using GoldenTokens golden = GoldenTokens.HuggingFace("smollm2-digits");
        ITokenizer tokenizer = GgufTokenizer.Create(TestGgufMetadata.ReadVocabulary(
            TestData.Path("models", "smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf")));
        golden.Check(tokenizer);
        Assert.Equal(1, tokenizer.BosId);
        Assert.Equal(2, tokenizer.EosId);
        Assert.False(tokenizer.AddsBos);
    }

    [Fact]
    public void ABeginTokenThatNoKeyNamesIsAddedAsTheEngineDoes()
    {
        GgufVocabulary vocabulary = new() { Model = "llama", Tokens = ["<unk>", "<s>", "</s>", "a"], Scores = [0, 0, 0, 0], TokenTypes = [2, 3, 3, 1], AddSpacePrefix = false };
        Assert.Equal([1, 3], GgufTokenizer.Create(vocabulary).Encode("a", true));
        Assert.Equal([1, 3, 2], GgufTokenizer.Create(vocabulary with { AddEos = true }).Encode("a", true));
        ITokenizer bare = GgufTokenizer.Create(vocabulary with { AddBos = false });
        Assert.Equal([3], bare.Encode("a", true));
        Assert.Null(bare.BosId);
    }

    [Fact]
    public void WhiteSpaceAfterSpecialTokensIsDroppedForPhi3Only()
    {
        GgufVocabulary vocabulary = new()
        {
            Model = "llama",
            Tokens = ["<unk>", "<|end|>", "a", "\u2581"],
            Scores = [0, 0, 0, 0],
            TokenTypes = [2, 4, 1, 1],
            AddSpacePrefix = false,
        };
        Assert.Equal([1, 3, 2], GgufTokenizer.Create(vocabulary).Encode("<|end|> a", true));
        ITokenizer phi = GgufTokenizer.Create(vocabulary with { ModelName = "My-Phi-3" });
        Assert.Equal([1, 2, 3, 2], phi.Encode("<|end|> \n\ta a", true));
        Assert.Equal([0, 3, 2], phi.Encode("<unk> a", true));
        // A control token by its name, though its type is "user defined".
        Assert.True(phi.IsSpecial(1));
        Assert.Equal(" a", phi.Decode([1, 3, 2], skipSpecialTokens: true));
    }

    [Fact]
    public void RefusesVocabulariesThatContradictThemselves()
    {
        GgufVocabulary bpe = new() { Model = "gpt2", Pre = "gpt-2", Tokens = ["a", "b", "ab"], Merges = ["a b"] };
        Assert.Equal([2, 0], GgufTokenizer.Create(bpe).Encode("aba", true));
        Refuses(bpe with { Model = "rwkv" }, "rwkv");
        Refuses(bpe with { Pre = "somebody-new" }, "somebody-new");
        Refuses(bpe with { Merges = null }, "merges");
        Refuses(bpe with { Merges = ["a c"] }, "\"c\"");
        Refuses(bpe with { Merges = ["ab"] }, "merges[0]");
        Refuses(bpe with { Tokens = ["a", "b", "a"] }, "tokens");
        Refuses(bpe with { Tokens = [] }, "tokens");
        Refuses(bpe with { TokenTypes = [1, 1] }, "token_type");
        Refuses(bpe with { TokenTypes = [1, 1, 9] }, "token_type[2]");
        Refuses(bpe with { BosId = 3 }, "bos_token_id");
        GgufVocabulary spm = new() { Model = "llama", Tokens = ["<unk>", "a"], Scores = [0, -1], TokenTypes = [2, 1], AddSpacePrefix = false };
        Assert.Equal([1, 0, 1], GgufTokenizer.Create(spm).Encode("axxa", true));
        Refuses(spm with { Scores = null }, "scores");
        Refuses(spm with { Scores = [0] }, "scores");
        Refuses(spm with { Scores = [0, float.NaN] }, "scores[1]");
        Refuses(spm with { UnknownId = -2 }, "unknown_token_id");
    }

    private static void Refuses(GgufVocabulary vocabulary, string named)
    {
        TokenizerException error = Assert.Throws<TokenizerException>(() => GgufTokenizer.Create(vocabulary));
        Assert.Contains(named, error.Message);
    }
}
