using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Tests.ChatTemplates;

/// <summary>Templates against what Jinja 3.1.6 makes of them with Transformers' settings.</summary>
public class ChatTemplateTests
{
    private static readonly ChatMessage[] Question = [new("user", "Hi")];

    private static readonly ChatMessage[] Conversation =
        [new("system", "Be brief."), new("user", "Q?"), new("assistant", "<think>\nhm\n</think>\n\nA."), new("user", "Why?")];

    [Theory]
    [InlineData("{{ bos_token }}{% for m in messages %}[{{ loop.index }}/{{ loop.length }}]{{ m['role'] | upper }}: {{ m.content | trim }}{% if not loop.last %}, {% endif %}{% endfor %}", "<s>[1/4]SYSTEM: Be brief., [2/4]USER: Q?, [3/4]ASSISTANT: <think>\nhm\n</think>\n\nA., [4/4]USER: Why?")]
    [InlineData("  {% if messages|length > 1 %}\n  yes\n  {% else %}\n  no\n  {% endif %}\nend", "  yes\nend")]
    [InlineData("{%- for i in range(3) -%} {{ i }} {%- endfor %}", "012")]
    [InlineData("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content|length %}{% endfor %}{{ ns.n }}", "38")]
    [InlineData("{% set x = 1 %}{% for m in messages %}{% set x = 5 %}{% endfor %}{{ x }}", "1")]
    [InlineData("{{ 'a' ~ 1 ~ 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 * 3 - 4 }}", "a12 -4 2 2")]
    [InlineData("{{ messages[-1].content[1:] }} {{ messages[::-1][0].role }} {{ 'abc'[::-1] }}", "hy? user cba")]
    [InlineData("{{ 'x' if messages[0].role == 'system' else 'y' }} {{ missing is defined }} {{ missing or 'none' }} {{ none is none }}", "x False none True")]
    [InlineData("{{ messages[0].get('name', 'nobody') }} {{ 'ab,c'.split(',') | join('+') }} {{ ' x '.strip() }}|{{ 'nn'.lstrip('n') }}", "nobody ab+c x|")]
    [InlineData("{# a comment #}\n{% set t %}in {{ 1 }} block{% endset %}{{ t }}\n{{ 'it''s' }} {{ \"q\\n\" }}.", "in 1 block\nits q\n.")]
    [InlineData("{% for m in messages if m.role == 'user' %}{{ m.content }};{% else %}nobody{% endfor %}", "Q?;Why?;")]
    [InlineData("{{ messages[0] | tojson }} {{ 'a' in 'cat' }} {{ 'z' not in ['x', 'y'] }} {{ 1 < 2 and not false }}", "{\"role\": \"system\", \"content\": \"Be brief.\"} True True True")]
    [InlineData("{{ (messages | first).role }} {{ missing | default('d') }} {{ true }}", "system d True")]
    [InlineData("a\n    {%+ if true %}b{% endif +%}\n c {{- ' d ' -}} e", "a\n    b\n c d e")]
    public void PartsOfTheLanguage(string template, string expected) =>
        Assert.Equal(expected, ChatTemplate.Parse(template).Render(Conversation, "<s>", "</s>", addGenerationPrompt: true));

    [Theory]
    [InlineData(false, true, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData(false, false, "<|im_start|>user\nHi<|im_end|>\n")]
    [InlineData(true, true, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nA.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData(true, false, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nA.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n")]
    public void Qwen3(bool conversation, bool prompt, string expected) =>
        Check(TestData.Path("tokenizers", "hf-qwen3"), conversation, prompt, expected);

    [Theory]
    [InlineData(false, true, "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData(false, false, "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n")]
    [InlineData(true, true, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\nA.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData(true, false, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\nA.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n")]
    public void SmolLM2(bool conversation, bool prompt, string expected) =>
        Check(TestData.Path("models", "smollm2-135m"), conversation, prompt, expected);

    [Theory]
    [InlineData("{% import 'x' as f %}", "'import'")]
    [InlineData("{{ messages | shuffle }}", "'shuffle'")]
    [InlineData("{% if true %}x", "not closed")]
    [InlineData("{{ messages[0]", "not closed by }}")]
    [InlineData("{{ messages[0 }}", "']' is missing")]
    [InlineData("{% endfor %}", "'endfor'")]
    [InlineData("{{ raise_exception('roles must alternate') }}", "roles must alternate")]
    [InlineData("{{ nobody.name }}", "'nobody', which is not defined,")]
    [InlineData("{{ 1 / 0 }}", "divides by zero")]
    [InlineData("{{ range(10000000) }}", "range")]
    public void WhatIsNotKnownIsNamed(string template, string message)
    {
        var failure = Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(template).Render(Question, "", "", true));
        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void HostileNestingIsRefused()
    {
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + new string('(', 5000) + "1" + new string(')', 5000) + " }}"));
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(string.Concat(Enumerable.Repeat("{% if 1 %}", 5000))));
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + string.Concat(Enumerable.Repeat("not ", 5000)) + "1 }}"));
    }

    private static void Check(string folder, bool conversation, bool prompt, string expected) => Assert.Equal(
        expected, ChatTemplate.Parse(ChatTemplateFile.Find(folder)!).Render(conversation ? Conversation : Question, "<s>", "</s>", prompt));
}
