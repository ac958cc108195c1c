using System.Text;
using LowRankQuant.Models.ChatTemplates;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>A chat template, parsed and rendered; an input that begins as JSON is a tokenizer_config.json with one in it.</summary>
internal sealed class ChatTemplateTarget : FuzzTarget
{
    private static readonly ChatMessage[] Messages =
        [new("system", "Be brief."), new("user", " What is 2 + 2?\n"), new("assistant", "<think>hm</think>4 \ud83d\ude00"), new("user", "")];

    public override string Name => "template";

    protected override void Read(byte[] input, Scratch scratch)
    {
        string? source = Encoding.UTF8.GetString(input);
        if (input.AsSpan().StartsWith("{\""u8))
        {
            scratch.Write("tokenizer_config.json", input);
            source = ChatTemplateFile.Find(scratch.Folder);
            if (source is null) return;
        }
        ChatTemplate template = ChatTemplate.Parse(source);
        Each(
            () => template.Render(Messages, "<s>", "</s>", addGenerationPrompt: true),
            () => template.Render(Messages[1..2], "", "", addGenerationPrompt: false));
    }
}
