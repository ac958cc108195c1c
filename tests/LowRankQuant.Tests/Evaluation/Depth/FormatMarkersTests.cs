using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Tests.Evaluation.Depth;

public class FormatMarkersTests
{
    [Theory]
    [InlineData("<|endoftext|>", true, false, "end of text")]
    [InlineData("</s>", true, true, "end of text")]
    [InlineData("<eos>", true, false, "end of text")]
    [InlineData("<|end_of_text|>", true, true, "end of text")]
    [InlineData("<|im_end|>", true, true, "turn")]
    [InlineData("<start_of_turn>", true, false, "turn")]
    [InlineData("<|start_header_id|>", true, false, "turn")]
    [InlineData("<|eot_id|>", true, true, "turn")]
    [InlineData("[INST]", true, false, "turn")]
    [InlineData("[/INST]", false, false, "turn")]
    [InlineData("<|message|>", true, false, "turn")]
    [InlineData("<|return|>", true, true, "turn")]
    [InlineData("<｜User｜>", true, false, "turn")]
    [InlineData("<|START_OF_TURN_TOKEN|>", true, false, "turn")]
    [InlineData("<think>", false, false, "thinking")]
    [InlineData("</think>", false, false, "thinking")]
    [InlineData("[THINK]", true, false, "thinking")]
    [InlineData("<|channel|>", true, false, "thinking")]
    [InlineData("<tool_call>", false, false, "tool call")]
    [InlineData("<|python_tag|>", true, false, "tool call")]
    [InlineData("[TOOL_CALLS]", true, false, "tool call")]
    [InlineData("<|call|>", true, true, "tool call")]
    [InlineData("<｜tool▁calls▁begin｜>", true, false, "tool call")]
    [InlineData("<|fim_prefix|>", true, false, "other special")]
    [InlineData("<s>", true, false, "other special")]
    [InlineData("<br>", false, false, null)]
    [InlineData("[1]", false, false, null)]
    [InlineData("think", false, false, null)]
    [InlineData("user", false, false, null)]
    public void KindsGoByNames(string text, bool special, bool ends, string? kind) => Assert.Equal(kind, FormatMarkers.KindOf(text, special, ends, null));

    [Fact]
    public void WhatTheTemplateWritesIsAMarker()
    {
        Assert.Null(FormatMarkers.KindOf("<answer>", special: false, ends: false, "plain"));
        Assert.Equal("other special", FormatMarkers.KindOf("<answer>", special: false, ends: false, "{{ '<answer>' + content }}"));
    }

    [Fact]
    public void AConversationOfQwen3()
    {
        ITokenizer tokenizer = TokenizerJson.Load(TestData.Path("tokenizers", "hf-qwen3", "tokenizer.json"));
        using HuggingFaceCheckpoint demo = HuggingFaceCheckpoint.Open(TestData.Demo);
        DecoderConfig config = demo.Config with { EosIds = [tokenizer.TokenId("<|im_end|>")!.Value] };
        var sums = new FormatSums(new FormatMarkers(tokenizer, null, config), tokenizer);
        int[] ids = tokenizer.Encode(
            "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n<think>\nAsk.\n</think>\n<tool_call>\n{}\n</tool_call><|im_end|>\n<|endoftext|>", addSpecialTokens: false);
        for (int i = 1; i < ids.Length; i++) sums.Add(ids[i], i, agrees: i % 2 == 0);
        IReadOnlyList<FormatTokens> kinds = sums.Result();
        Assert.Equal(["end of text", "turn", "thinking", "tool call"], kinds.Select(kind => kind.Kind));
        // The first token of the window is nobody's next.
        Assert.Equal([1, 3, 2, 2], kinds.Select(kind => (int)kind.Positions));
        Assert.Equal(["<|im_start|>", "<|im_end|>"], kinds[1].Tokens);
        Assert.Equal(["<think>", "</think>"], kinds[2].Tokens);
        int think = Array.IndexOf(ids, tokenizer.TokenId("<think>")!.Value), thought = Array.IndexOf(ids, tokenizer.TokenId("</think>")!.Value);
        Assert.Equal((think + thought) / 2.0, kinds[2].KlDivergence, 1e-12);
        Assert.Equal(new[] { think, thought }.Count(i => i % 2 == 0) / 2.0, kinds[2].Top1Agreement);
    }
}
