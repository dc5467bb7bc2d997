	.file	"unit.c"
	.text
	.p2align 4
	.type	work_0, @function
work_0:
.LFB1:
	.cfi_startproc
	movq	%rdi, %rax
	movl	%esi, %r8d
	testl	%esi, %esi
	jle	.L13
	xorl	%edi, %edi
	movl	$55359, %edx
	jmp	.L12
	.p2align 4,,10
	.p2align 3
.L21:
	movslq	%edx, %rcx
	movl	%edx, %r9d
	movl	%edi, %esi
	imulq	$715827883, %rcx, %rcx
	sarl	$31, %r9d
	andl	$7, %esi
	sarq	$34, %rcx
	subl	%r9d, %ecx
	movl	%ecx, 2056(%rax,%rsi,4)
.L10:
	movq	(%rax), %rcx
	testq	%rcx, %rcx
	cmovne	%rcx, %rax
	cmpl	%edi, %r8d
	je	.L20
.L12:
	movl	%edx, %ecx
	movl	%edi, %esi
	shrl	$6, %ecx
	andl	$7, %esi
	andl	$3, %ecx
	cmpl	$2, %ecx
	je	.L3
	cmpl	$3, %ecx
	je	.L4
	cmpl	$1, %ecx
	movslq	%esi, %rcx
	je	.L5
	movl	264(%rax,%rcx,4), %esi
	sall	$5, %esi
	addl	%esi, %edx
.L6:
	movl	%edx, %esi
	addl	$1, %edi
	andl	$1023, %esi
	cmpl	%esi, 2280(%rax,%rcx,4)
	jg	.L21
	cmpl	$40, %r8d
	jle	.L10
	movdqu	584(%rax), %xmm4
	movdqu	2040(%rax), %xmm0
	movdqu	2040(%rax), %xmm2
	movdqu	600(%rax), %xmm5
	pshufd	$27, %xmm4, %xmm1
	movdqu	2024(%rax), %xmm3
	pmuludq	%xmm1, %xmm0
	psrlq	$32, %xmm2
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$27, %xmm5, %xmm2
	pmuludq	%xmm2, %xmm3
	psrlq	$32, %xmm2
	pshufd	$8, %xmm0, %xmm0
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm0
	movdqu	2024(%rax), %xmm1
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$8, %xmm3, %xmm2
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm2
	paddd	%xmm2, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$8, %xmm1
	paddd	%xmm1, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$4, %xmm1
	paddd	%xmm1, %xmm0
	movd	%xmm0, %ecx
	addl	%ecx, %edx
	movq	(%rax), %rcx
	testq	%rcx, %rcx
	cmovne	%rcx, %rax
	cmpl	%edi, %r8d
	jne	.L12
.L20:
	movl	%edx, %eax
	xorl	%r8d, %eax
	cmpl	$1, %r8d
	cmovne	%eax, %edx
	movl	%edx, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L5:
	imull	$34, 1736(%rax,%rcx,4), %esi
	addl	%esi, %edx
	jmp	.L6
	.p2align 4,,10
	.p2align 3
.L4:
	movslq	%esi, %rcx
	imull	$46, 1192(%rax,%rcx,4), %esi
	addl	%esi, %edx
	jmp	.L6
	.p2align 4,,10
	.p2align 3
.L3:
	movslq	%esi, %rcx
	movl	1448(%rax,%rcx,4), %esi
	leal	(%rsi,%rsi,8), %r9d
	leal	(%rsi,%r9,4), %esi
	addl	%esi, %edx
	jmp	.L6
.L13:
	movl	$55359, %edx
	movl	%edx, %eax
	ret
	.cfi_endproc
.LFE1:
	.size	work_0, .-work_0
	.p2align 4
	.type	work_3, @function
work_3:
.LFB4:
	.cfi_startproc
	testl	%esi, %esi
	jle	.L34
	movl	%esi, %ecx
	movl	$2273, %r10d
	xorl	%esi, %esi
	jmp	.L33
	.p2align 4,,10
	.p2align 3
.L46:
	movslq	%r10d, %rax
	movl	%r10d, %r8d
	leal	5(%rsi), %edx
	imulq	$1321528399, %rax, %rax
	sarl	$31, %r8d
	andl	$7, %edx
	sarq	$35, %rax
	subl	%r8d, %eax
	movl	%eax, 1992(%rdi,%rdx,4)
.L31:
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	leal	1(%rsi), %eax
	cmpl	%eax, %ecx
	je	.L45
	movl	%eax, %esi
.L33:
	movl	%r10d, %eax
	movl	%esi, %edx
	shrl	$3, %eax
	andl	$7, %edx
	andl	$3, %eax
	cmpl	$2, %eax
	je	.L24
	cmpl	$3, %eax
	je	.L25
	cmpl	$1, %eax
	movslq	%edx, %rax
	je	.L26
	imull	$52, 168(%rdi,%rax,4), %edx
	addl	%edx, %r10d
.L27:
	movl	%r10d, %edx
	andl	$1023, %edx
	cmpl	%edx, 2152(%rdi,%rax,4)
	jg	.L46
	cmpl	$29, %ecx
	jle	.L31
	movdqu	168(%rdi), %xmm4
	movdqu	600(%rdi), %xmm0
	movdqu	600(%rdi), %xmm2
	movdqu	184(%rdi), %xmm5
	pshufd	$27, %xmm4, %xmm1
	movdqu	584(%rdi), %xmm3
	pmuludq	%xmm1, %xmm0
	psrlq	$32, %xmm2
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$27, %xmm5, %xmm2
	pmuludq	%xmm2, %xmm3
	psrlq	$32, %xmm2
	pshufd	$8, %xmm0, %xmm0
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm0
	movdqu	584(%rdi), %xmm1
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$8, %xmm3, %xmm2
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm2
	paddd	%xmm2, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$8, %xmm1
	paddd	%xmm1, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$4, %xmm1
	paddd	%xmm1, %xmm0
	movd	%xmm0, %eax
	addl	%eax, %r10d
	jmp	.L31
	.p2align 4,,10
	.p2align 3
.L26:
	imull	$26, 776(%rdi,%rax,4), %edx
	addl	%edx, %r10d
	jmp	.L27
	.p2align 4,,10
	.p2align 3
.L25:
	movslq	%edx, %rax
	imull	$77, 712(%rdi,%rax,4), %edx
	addl	%edx, %r10d
	jmp	.L27
	.p2align 4,,10
	.p2align 3
.L24:
	movslq	%edx, %rax
	movl	1160(%rdi,%rax,4), %edx
	leal	(%rdx,%rdx,4), %r8d
	leal	(%rdx,%r8,8), %edx
	addl	%edx, %r10d
	jmp	.L27
	.p2align 4,,10
	.p2align 3
.L45:
	cmpl	$1, %ecx
	jne	.L47
	movl	%r10d, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L47:
	subq	$8, %rsp
	.cfi_def_cfa_offset 16
	call	work_0
	addq	$8, %rsp
	.cfi_def_cfa_offset 8
	xorl	%eax, %r10d
	movl	%r10d, %eax
	ret
.L34:
	movl	$2273, %r10d
	movl	%r10d, %eax
	ret
	.cfi_endproc
.LFE4:
	.size	work_3, .-work_3
	.p2align 4
	.type	work_4, @function
work_4:
.LFB5:
	.cfi_startproc
	testl	%esi, %esi
	jle	.L60
	movl	%esi, %ecx
	movl	$67252, %r10d
	xorl	%esi, %esi
	jmp	.L59
	.p2align 4,,10
	.p2align 3
.L72:
	testl	%r10d, %r10d
	leal	3(%r10), %edx
	cmovns	%r10d, %edx
	sarl	$2, %edx
	movl	%edx, 840(%rdi,%rax,4)
.L57:
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	leal	1(%rsi), %eax
	cmpl	%eax, %ecx
	je	.L71
	movl	%eax, %esi
.L59:
	movl	%r10d, %eax
	movl	%esi, %edx
	shrl	$6, %eax
	andl	$7, %edx
	andl	$3, %eax
	cmpl	$2, %eax
	je	.L50
	cmpl	$3, %eax
	je	.L51
	cmpl	$1, %eax
	movslq	%edx, %rax
	je	.L52
	movl	552(%rdi,%rax,4), %r8d
	movl	%r8d, %edx
	sall	$6, %edx
	subl	%r8d, %edx
	addl	%edx, %r10d
.L53:
	movl	%r10d, %edx
	andl	$1023, %edx
	cmpl	%edx, 360(%rdi,%rax,4)
	jg	.L72
	cmpl	$17, %ecx
	jle	.L57
	movdqu	776(%rdi), %xmm4
	movdqu	600(%rdi), %xmm0
	movdqu	600(%rdi), %xmm2
	movdqu	792(%rdi), %xmm5
	pshufd	$27, %xmm4, %xmm1
	movdqu	584(%rdi), %xmm3
	pmuludq	%xmm1, %xmm0
	psrlq	$32, %xmm2
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$27, %xmm5, %xmm2
	pmuludq	%xmm2, %xmm3
	psrlq	$32, %xmm2
	pshufd	$8, %xmm0, %xmm0
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm0
	movdqu	584(%rdi), %xmm1
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$8, %xmm3, %xmm2
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm2
	paddd	%xmm2, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$8, %xmm1
	paddd	%xmm1, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$4, %xmm1
	paddd	%xmm1, %xmm0
	movd	%xmm0, %eax
	addl	%eax, %r10d
	jmp	.L57
	.p2align 4,,10
	.p2align 3
.L52:
	imull	$56, 456(%rdi,%rax,4), %edx
	addl	%edx, %r10d
	jmp	.L53
	.p2align 4,,10
	.p2align 3
.L51:
	movslq	%edx, %rax
	movl	200(%rdi,%rax,4), %edx
	leal	(%rdx,%rdx,4), %r8d
	leal	(%rdx,%r8,8), %edx
	addl	%edx, %r10d
	jmp	.L53
	.p2align 4,,10
	.p2align 3
.L50:
	movslq	%edx, %rax
	imull	$61, 1736(%rdi,%rax,4), %edx
	addl	%edx, %r10d
	jmp	.L53
	.p2align 4,,10
	.p2align 3
.L71:
	cmpl	$1, %ecx
	jne	.L73
	movl	%r10d, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L73:
	subq	$8, %rsp
	.cfi_def_cfa_offset 16
	call	work_0
	addq	$8, %rsp
	.cfi_def_cfa_offset 8
	xorl	%eax, %r10d
	movl	%r10d, %eax
	ret
.L60:
	movl	$67252, %r10d
	movl	%r10d, %eax
	ret
	.cfi_endproc
.LFE5:
	.size	work_4, .-work_4
	.p2align 4
	.type	work_1, @function
work_1:
.LFB2:
	.cfi_startproc
	testl	%esi, %esi
	jle	.L86
	movl	%esi, %ecx
	movl	$41621, %r10d
	xorl	%esi, %esi
	jmp	.L85
	.p2align 4,,10
	.p2align 3
.L98:
	movslq	%r10d, %rax
	movl	%r10d, %r9d
	movl	%edx, %r8d
	imulq	$1321528399, %rax, %rax
	sarl	$31, %r9d
	andl	$7, %r8d
	sarq	$35, %rax
	subl	%r9d, %eax
	movl	%eax, 1096(%rdi,%r8,4)
.L83:
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	cmpl	%edx, %ecx
	je	.L97
.L87:
	movl	%edx, %esi
.L85:
	movl	%r10d, %eax
	movl	%esi, %edx
	shrl	$2, %eax
	andl	$7, %edx
	andl	$3, %eax
	cmpl	$2, %eax
	je	.L76
	cmpl	$3, %eax
	je	.L77
	cmpl	$1, %eax
	movslq	%edx, %rax
	je	.L78
	imull	$42, 1800(%rdi,%rax,4), %edx
	addl	%edx, %r10d
.L79:
	movl	%r10d, %r8d
	leal	1(%rsi), %edx
	andl	$1023, %r8d
	cmpl	%r8d, 1736(%rdi,%rax,4)
	jg	.L98
	cmpl	$29, %ecx
	jle	.L83
	movdqu	648(%rdi), %xmm3
	movdqu	664(%rdi), %xmm1
	pshufd	$27, %xmm3, %xmm2
	movdqa	%xmm1, %xmm4
	movdqa	%xmm2, %xmm0
	psrlq	$32, %xmm4
	psrlq	$32, %xmm2
	pmuludq	%xmm1, %xmm0
	pshufd	$27, %xmm1, %xmm1
	pmuludq	%xmm4, %xmm2
	pshufd	$8, %xmm0, %xmm0
	pshufd	$8, %xmm2, %xmm2
	punpckldq	%xmm2, %xmm0
	movdqa	%xmm1, %xmm2
	pmuludq	%xmm3, %xmm2
	psrlq	$32, %xmm1
	psrlq	$32, %xmm3
	pmuludq	%xmm3, %xmm1
	pshufd	$8, %xmm2, %xmm2
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm2
	paddd	%xmm2, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$8, %xmm1
	paddd	%xmm1, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$4, %xmm1
	paddd	%xmm1, %xmm0
	movd	%xmm0, %eax
	addl	%eax, %r10d
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	cmpl	%edx, %ecx
	jne	.L87
.L97:
	cmpl	$1, %ecx
	jne	.L99
	movl	%r10d, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L78:
	imull	$23, 1864(%rdi,%rax,4), %edx
	addl	%edx, %r10d
	jmp	.L79
	.p2align 4,,10
	.p2align 3
.L77:
	movslq	%edx, %rax
	movl	1128(%rdi,%rax,4), %edx
	leal	(%rdx,%rdx,4), %edx
	leal	(%r10,%rdx,4), %r10d
	jmp	.L79
	.p2align 4,,10
	.p2align 3
.L76:
	movslq	%edx, %rax
	imull	$84, 1032(%rdi,%rax,4), %edx
	addl	%edx, %r10d
	jmp	.L79
	.p2align 4,,10
	.p2align 3
.L99:
	subq	$8, %rsp
	.cfi_def_cfa_offset 16
	call	work_0
	addq	$8, %rsp
	.cfi_def_cfa_offset 8
	xorl	%eax, %r10d
	movl	%r10d, %eax
	ret
.L86:
	movl	$41621, %r10d
	movl	%r10d, %eax
	ret
	.cfi_endproc
.LFE2:
	.size	work_1, .-work_1
	.p2align 4
	.type	work_5, @function
work_5:
.LFB6:
	.cfi_startproc
	testl	%esi, %esi
	jle	.L112
	movl	%esi, %ecx
	movl	$19249, %r11d
	xorl	%esi, %esi
	jmp	.L111
	.p2align 4,,10
	.p2align 3
.L124:
	movslq	%r11d, %rax
	movl	%r11d, %r9d
	movl	%edx, %r8d
	imulq	$780903145, %rax, %rax
	sarl	$31, %r9d
	andl	$7, %r8d
	sarq	$34, %rax
	subl	%r9d, %eax
	movl	%eax, 1800(%rdi,%r8,4)
.L109:
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	cmpl	%edx, %ecx
	je	.L123
.L113:
	movl	%edx, %esi
.L111:
	movl	%r11d, %eax
	movl	%esi, %edx
	shrl	$4, %eax
	andl	$7, %edx
	andl	$3, %eax
	cmpl	$2, %eax
	je	.L102
	cmpl	$3, %eax
	je	.L103
	cmpl	$1, %eax
	movslq	%edx, %rax
	je	.L104
	imull	$91, 1928(%rdi,%rax,4), %edx
	addl	%edx, %r11d
.L105:
	movl	%r11d, %r8d
	leal	1(%rsi), %edx
	andl	$1023, %r8d
	cmpl	%r8d, 1256(%rdi,%rax,4)
	jg	.L124
	cmpl	$15, %ecx
	jle	.L109
	movdqu	1480(%rdi), %xmm4
	movdqu	120(%rdi), %xmm0
	movdqu	120(%rdi), %xmm2
	movdqu	1496(%rdi), %xmm5
	pshufd	$27, %xmm4, %xmm1
	movdqu	104(%rdi), %xmm3
	pmuludq	%xmm1, %xmm0
	psrlq	$32, %xmm2
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$27, %xmm5, %xmm2
	pmuludq	%xmm2, %xmm3
	psrlq	$32, %xmm2
	pshufd	$8, %xmm0, %xmm0
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm0
	movdqu	104(%rdi), %xmm1
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$8, %xmm3, %xmm2
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm2
	paddd	%xmm2, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$8, %xmm1
	paddd	%xmm1, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$4, %xmm1
	paddd	%xmm1, %xmm0
	movd	%xmm0, %eax
	addl	%eax, %r11d
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	cmpl	%edx, %ecx
	jne	.L113
.L123:
	cmpl	$1, %ecx
	jne	.L125
	movl	%r11d, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L104:
	imull	$76, 2056(%rdi,%rax,4), %edx
	addl	%edx, %r11d
	jmp	.L105
	.p2align 4,,10
	.p2align 3
.L103:
	movslq	%edx, %rax
	movl	1480(%rdi,%rax,4), %r8d
	movl	%r8d, %edx
	sall	$5, %edx
	subl	%r8d, %edx
	addl	%edx, %r11d
	jmp	.L105
	.p2align 4,,10
	.p2align 3
.L102:
	movslq	%edx, %rax
	imull	$71, 392(%rdi,%rax,4), %edx
	addl	%edx, %r11d
	jmp	.L105
	.p2align 4,,10
	.p2align 3
.L125:
	subq	$8, %rsp
	.cfi_def_cfa_offset 16
	call	work_1
	addq	$8, %rsp
	.cfi_def_cfa_offset 8
	xorl	%eax, %r11d
	movl	%r11d, %eax
	ret
.L112:
	movl	$19249, %r11d
	movl	%r11d, %eax
	ret
	.cfi_endproc
.LFE6:
	.size	work_5, .-work_5
	.p2align 4
	.type	work_2, @function
work_2:
.LFB3:
	.cfi_startproc
	testl	%esi, %esi
	jle	.L138
	movl	%esi, %ecx
	movl	$71867, %r11d
	xorl	%esi, %esi
	jmp	.L137
	.p2align 4,,10
	.p2align 3
.L150:
	movslq	%r11d, %rax
	movl	%r11d, %r8d
	leal	6(%rsi), %edx
	imulq	$1272582903, %rax, %rax
	sarl	$31, %r8d
	andl	$7, %edx
	sarq	$35, %rax
	subl	%r8d, %eax
	movl	%eax, 1608(%rdi,%rdx,4)
.L135:
	movq	(%rdi), %rax
	testq	%rax, %rax
	cmovne	%rax, %rdi
	leal	1(%rsi), %eax
	cmpl	%eax, %ecx
	je	.L149
	movl	%eax, %esi
.L137:
	movl	%r11d, %eax
	movl	%esi, %edx
	shrl	$3, %eax
	andl	$7, %edx
	andl	$3, %eax
	cmpl	$2, %eax
	je	.L128
	cmpl	$3, %eax
	je	.L129
	cmpl	$1, %eax
	movslq	%edx, %rax
	je	.L130
	movl	680(%rdi,%rax,4), %edx
	leal	(%r11,%rdx,4), %r11d
.L131:
	movl	%r11d, %edx
	andl	$1023, %edx
	cmpl	%edx, 2312(%rdi,%rax,4)
	jg	.L150
	cmpl	$35, %ecx
	jle	.L135
	movdqu	2312(%rdi), %xmm4
	movdqu	2104(%rdi), %xmm0
	movdqu	2104(%rdi), %xmm2
	movdqu	2328(%rdi), %xmm5
	pshufd	$27, %xmm4, %xmm1
	movdqu	2088(%rdi), %xmm3
	pmuludq	%xmm1, %xmm0
	psrlq	$32, %xmm2
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$27, %xmm5, %xmm2
	pmuludq	%xmm2, %xmm3
	psrlq	$32, %xmm2
	pshufd	$8, %xmm0, %xmm0
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm0
	movdqu	2088(%rdi), %xmm1
	psrlq	$32, %xmm1
	pmuludq	%xmm2, %xmm1
	pshufd	$8, %xmm3, %xmm2
	pshufd	$8, %xmm1, %xmm1
	punpckldq	%xmm1, %xmm2
	paddd	%xmm2, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$8, %xmm1
	paddd	%xmm1, %xmm0
	movdqa	%xmm0, %xmm1
	psrldq	$4, %xmm1
	paddd	%xmm1, %xmm0
	movd	%xmm0, %eax
	addl	%eax, %r11d
	jmp	.L135
	.p2align 4,,10
	.p2align 3
.L130:
	movl	1096(%rdi,%rax,4), %edx
	leal	(%rdx,%rdx,2), %edx
	leal	(%r11,%rdx,2), %r11d
	jmp	.L131
	.p2align 4,,10
	.p2align 3
.L129:
	movslq	%edx, %rax
	imull	$51, 1960(%rdi,%rax,4), %edx
	addl	%edx, %r11d
	jmp	.L131
	.p2align 4,,10
	.p2align 3
.L128:
	movslq	%edx, %rax
	imull	$49, 1576(%rdi,%rax,4), %edx
	addl	%edx, %r11d
	jmp	.L131
	.p2align 4,,10
	.p2align 3
.L149:
	cmpl	$1, %ecx
	jne	.L151
	movl	%r11d, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L151:
	subq	$8, %rsp
	.cfi_def_cfa_offset 16
	call	work_1
	addq	$8, %rsp
	.cfi_def_cfa_offset 8
	xorl	%eax, %r11d
	movl	%r11d, %eax
	ret
.L138:
	movl	$71867, %r11d
	movl	%r11d, %eax
	ret
	.cfi_endproc
.LFE3:
	.size	work_2, .-work_2
	.globl	work_table
	.section	.data.rel.ro.local,"aw"
	.align 32
	.type	work_table, @object
	.size	work_table, 48
work_table:
	.quad	work_0
	.quad	work_1
	.quad	work_2
	.quad	work_3
	.quad	work_4
	.quad	work_5
	.ident	"GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
	.section	.note.GNU-stack,"",@progbits
