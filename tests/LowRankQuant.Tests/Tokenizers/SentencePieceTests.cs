using System.Text;
using System.Text.Json;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Tests.Tokenizers;

public sealed class SentencePieceTests
{
    [Fact]
    public void Llama2ModelGivesTheReferenceIds()
    {
        using GoldenTokens golden = GoldenTokens.Gguf("llama-spm");
        ITokenizer tokenizer = TokenizerLoader.FromFolder(TestData.Path("tokenizers", "llama2"));
        Assert.Equal(32000, tokenizer.VocabularySize);
        Assert.Equal(1, tokenizer.BosId);
        Assert.Equal(2, tokenizer.EosId);
        Assert.True(tokenizer.AddsBos);
        StringBuilder differences = new();
        foreach (JsonProperty entry in golden.Root.GetProperty("cases").EnumerateObject().Some())
        {
            string text = golden.Strings[entry.Name];
            int[] ids = GoldenTokens.Ids(entry.Value.GetProperty("ids"));
            int[] special = GoldenTokens.Ids(entry.Value.GetProperty("idsSpecial"));
            GoldenTokens.Same(entry.Name + " ids", ids, tokenizer.Encode(text, false, parseSpecialTokens: false), differences);
            GoldenTokens.Same(entry.Name + " special", special, tokenizer.Encode(text, true), differences);
            string decoded = Encoding.UTF8.GetString(Convert.FromHexString(entry.Value.GetProperty("detokenizedHex").GetString()!));
            GoldenTokens.Same(entry.Name + " decoded", decoded, tokenizer.Decode(ids, false), differences);
        }
        Assert.True(differences.Length == 0, differences.ToString());
    }

    [Theory]
    [InlineData("babyllama-tok105", "tok105.model", 105)]
    [InlineData("stories260K", "tok512.model", 512)]
    public void SmallModelsRoundTrip(string folder, string file, int size)
    {
        ITokenizer tokenizer = SentencePieceModel.Load(TestData.Path("models", folder, file));
        Assert.Equal(size, tokenizer.VocabularySize);
        const string Text = "Once upon a time, there was a little girl.";
        int[] ids = tokenizer.Encode(Text, addSpecialTokens: true);
        Assert.Equal(1, ids[0]);
        Assert.Equal(Text, tokenizer.Decode(ids, skipSpecialTokens: true));
        // These models collapse runs of spaces and drop those at the ends.
        Assert.Equal(ids, tokenizer.Encode("  Once upon  a time,   there was a little girl. ", addSpecialTokens: true));
    }

    [Fact]
    public void BpeMergesByScoreAndKeepsUserDefinedTokensWhole()
    {
        SentencePieceBuilder builder = new(modelType: 2);
        builder.Piece("<unk>", 0, 2).Piece("<s>", 0, 3).Piece("</s>", 0, 3).Piece("\u2581", -5).Piece("a", -6).Piece("b", -7)
            .Piece("ab", -1).Piece("ba", -0.5f).Piece("bab", -3).Piece("aba", 0, 4).Piece("c", -8);
        ITokenizer tokenizer = SentencePieceModel.Load(builder.Build(addDummyPrefix: false));
        // "ba" (-0.5) goes before "ab" (-1), then "b" + "ab" finds "bab".
        Assert.Equal([5, 7], tokenizer.Encode("bba", false));
        Assert.Equal([8], tokenizer.Encode("bab", false, true));
        // The user-defined token is cut out first, so its neighbours cannot join with it.
        Assert.Equal([9, 5], tokenizer.Encode("abab", false));
        // Unknown characters in a row are one unknown token.
        Assert.Equal([10, 0, 10], tokenizer.Encode("cxyzc", false));
        Assert.Equal("c<unk>c", tokenizer.Decode([10, 0, 10], skipSpecialTokens: false));
        Assert.Equal("cc", tokenizer.Decode([10, 0, 10], skipSpecialTokens: true));
        Assert.Equal([1, 4], tokenizer.Encode("a", true));
    }

    [Fact]
    public void UnusedPiecesFallApart()
    {
        SentencePieceBuilder builder = new(modelType: 2);
        builder.Piece("<unk>", 0, 2).Piece("a", -4).Piece("b", -5).Piece("ab", -1, 5).Piece("abb", -2);
        ITokenizer tokenizer = SentencePieceModel.Load(builder.Build(addDummyPrefix: false));
        Assert.Equal([4], tokenizer.Encode("abb", false));
        Assert.Equal([1, 2, 1], tokenizer.Encode("aba", false));
    }

    [Fact]
    public void UnigramTakesTheLikeliestSegmentation()
    {
        SentencePieceBuilder builder = new(modelType: 1);
        builder.Piece("<unk>", 0, 2).Piece("<s>", 0, 3).Piece("</s>", 0, 3)
            .Piece("\u2581", -2).Piece("a", -3).Piece("b", -3.5f).Piece("ab", -5).Piece("\u2581a", -4).Piece("abb", -9.5f);
        ITokenizer tokenizer = SentencePieceModel.Load(builder.Build());
        // _a b (-7.5) and _ ab (-7): the second; _a b b (-11), _ ab b (-10.5), _ abb (-11.5): the second again.
        Assert.Equal([3, 6], tokenizer.Encode("ab", false));
        Assert.Equal([3, 6, 5], tokenizer.Encode("abb", false));
        Assert.Equal([7, 0, 5], tokenizer.Encode("axxb", false));
        Assert.Equal("ab", tokenizer.Decode([3, 6], false));
        Assert.Equal(2, tokenizer.EosId);
    }

    [Fact]
    public void UnigramSpellsUnknownCharactersWithBytes()
    {
        SentencePieceBuilder builder = new(modelType: 1);
        builder.Piece("<unk>", 0, 2).Piece("a", -1);
        for (int b = 0; b < 256; b++) builder.Piece($"<0x{b:X2}>", 0, 6);
        ITokenizer tokenizer = SentencePieceModel.Load(builder.Build(addDummyPrefix: false, byteFallback: true));
        Assert.Equal([1, 2 + 0xC3, 2 + 0xA9, 1], tokenizer.Encode("a\u00E9a", false));
        Assert.Equal("a\u00E9a", tokenizer.Decode([1, 2 + 0xC3, 2 + 0xA9, 1], false));
        Assert.Equal("a\uFFFD", tokenizer.Decode([1, 2 + 0xC3], false));
    }

    [Fact]
    public void RefusesDamagedModels()
    {
        byte[] good = new SentencePieceBuilder(2).Piece("<unk>", 0, 2).Piece("a", -1).Build();
        Assert.Equal(2, SentencePieceModel.Load(good).VocabularySize);
        // Every cut inside the pieces or specifications is noticed; a cut between two fields leaves a smaller model.
        int refused = 0;
        for (int length = 0; length < good.Length; length++)
        {
            try
            {
                SentencePieceModel.Load(good.AsSpan(0, length));
            }
            catch (TokenizerException)
            {
                refused++;
            }
        }
        Assert.InRange(refused, good.Length - 5, good.Length);
        Refuses([], "no pieces");
        Refuses([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], "18446744073709551615 bytes");
        Refuses([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07], "2147483647 bytes");
        Refuses([.. Enumerable.Repeat((byte)0xFF, 20)], "ten bytes");
        Refuses([0x0B], "wire type 3");
        Refuses([0x02, 0x00], "field number");
        Refuses([0x08, 0x01], "wire type");
        Refuses([0x0A, 0x03, 0x0A, 0x01, 0xFF], "UTF-8");
        Refuses([0x0A, 0x00], "must have a text");
        Refuses(new SentencePieceBuilder(2).Piece("a", float.NaN).Build(), "finite");
        Refuses(new SentencePieceBuilder(2).Piece("a", 0, 7).Build(), "1..6");
        Refuses(new SentencePieceBuilder(2).Piece("a", 0).Piece("a", 0).Build(), "already has the id 0");
        Refuses(new SentencePieceBuilder(3).Piece("a", 0).Build(), "model_type");
        Refuses(new SentencePieceBuilder(2).Piece("a", 0).Build(charsMap: true), "precompiled_charsmap");
        TokenizerException unspellable = Assert.Throws<TokenizerException>(() =>
            SentencePieceModel.Load(new SentencePieceBuilder(2).Piece("a", 0).Build(addDummyPrefix: false)).Encode("x", false));
        Assert.Contains("\"x\"", unspellable.Message);
    }

    private static void Refuses(byte[] model, string named)
    {
        TokenizerException error = Assert.Throws<TokenizerException>(() => SentencePieceModel.Load(model));
        Assert.Contains(named, error.Message);
    }
}
